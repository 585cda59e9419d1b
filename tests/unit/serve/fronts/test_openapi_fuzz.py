"""Schemathesis asks what our OpenAPI allows, and what it does not: every answer is as described."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from skerry.clock import SystemClock
from skerry.serve.http.listener import HttpListener
from skerry.serve.measures import Measures
from skerry.serve.surface import http_handler
from tests.unit.serve.support import make_scorer

EXAMPLES = 6

# A schema cannot say "bytes that are an image", so what it allows may be refused.
NOT_OURS = [positive_data_acceptance]


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[str]:
    """The colour model's address, served by a thread: Schemathesis blocks."""
    up = threading.Event()
    told: dict[str, Any] = {}

    async def serve() -> None:
        scorer = make_scorer(directory)
        listener = await HttpListener.start(http_handler(scorer, Measures()), clock=SystemClock())
        told.update(port=listener.port, loop=asyncio.get_running_loop(), over=asyncio.Event())
        up.set()
        await told["over"].wait()
        await listener.close()
        await scorer.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert up.wait(30)
        yield f"http://127.0.0.1:{told['port']}"
    finally:
        told["loop"].call_soon_threadsafe(told["over"].set)
        thread.join()


def test_every_answer_is_as_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    statuses: dict[str, set[int]] = defaultdict(set)
    with serving(tmp_path / "model") as url:
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        for found in schema.get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                ask(operation, mode, url, statuses)
    assert statuses["POST /score"] >= {200, 400}
    assert statuses["POST /v2/models/{model}/infer"] >= {400}
    assert statuses["GET /v2/models/{model}"] >= {200}
    assert not any(status >= 500 for seen in statuses.values() for status in seen)


def ask(operation: Any, mode: GenerationMode, url: str, statuses: dict[str, set[int]]) -> None:
    """Make requests of this kind for one operation, and compare each answer with its description."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def once(case: Any) -> None:
        response = case.call(base_url=url)
        statuses[operation.label].add(response.status_code)
        case.validate_response(response, excluded_checks=NOT_OURS)

    # Where every text is legal there is nothing illegal to send.
    impossible = (Unsatisfiable,) if mode is GenerationMode.NEGATIVE else ()
    with contextlib.suppress(*impossible):
        once()
