"""The hub's OpenAPI document: it names every call, and Schemathesis finds every answer as described."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from skerry.hub.rest import routes as fronts
from skerry.hub.rest.calls import CALLS
from skerry.hub.rest.openapi import document
from skerry.hub.verbs import Verbs
from tests.unit.hub.running import RunningHub, running_hub

EXAMPLES = 2
CHECKS = [
    # Among them is no 500: such an answer is a fault of ours.
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# It never ends.
ENDLESS = "GET /events"
KNOWN = {"device": "dev", "module": "mod", "configuration": "conf", "group": "readers"}
CONTENT = {"deviceContent": {"properties.desired.a": 1}}
# Calls that have to get through to their verb, so that good answers are looked at too.
ANSWERED = {
    "GET /configurations/{configuration}",
    "GET /devices",
    "GET /devices/{device}",
    "GET /devices/{device}/modules/{module}",
    "GET /events/page",
    "GET /twins/{device}/modules/{module}",
    "PATCH /twins/{device}",
    "POST /configurations/testQueries",
    "POST /devices/{device}/messages/events",
    "PUT /events/groups/{group}",
    "PUT /twins/{device}",
}
# Answers at once only when asked to.
LONG_POLL = "GET /events/page"


@dataclass
class Served:
    """A hub served by a thread: Schemathesis blocks."""

    url: str
    token: str
    ca_file: str


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Served]:
    up = threading.Event()
    told: dict[str, Any] = {}

    async def serve() -> None:
        async with running_hub(folder) as hub:
            await populate(hub)
            url = f"https://localhost:{hub.addresses.https_port}"
            told["hub"] = Served(url, hub.token("iothubowner"), str(hub.addresses.ca_file))
            told.update(loop=asyncio.get_running_loop(), over=asyncio.Event())
            up.set()
            await told["over"].wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert up.wait(30)
        yield told["hub"]
    finally:
        told["loop"].call_soon_threadsafe(told["over"].set)
        thread.join()


async def populate(hub: RunningHub) -> None:
    await hub.service.create_device(KNOWN["device"], edge=True)
    await hub.service.create_module(KNOWN["device"], KNOWN["module"])
    made = await hub.raw("PUT", f"/configurations/{KNOWN['configuration']}", body={"content": CONTENT})
    assert made.status_code == 200, made.text


def test_every_route_is_described_and_nothing_else() -> None:
    found = set()
    for route in described_routes():
        for method in route.methods or ():
            path = re.sub(r":\w+}", "}", route.path)
            if method != "HEAD":
                found.add(f"{method} {path}")
    assert found == set(CALLS)


def described_routes() -> list[Route]:
    """Those of the service API; pages and the registry (its own standard) apart."""
    with_verbs = object.__new__(Verbs)
    made = fronts.api_routes(with_verbs)
    return [route for route in made if isinstance(route, Route)]


def test_every_call_has_its_own_name() -> None:
    operations = [one["operationId"] for path in document()["paths"].values() for one in path.values()]
    assert len(operations) == len(set(operations)) == len(CALLS)


def test_every_answer_is_as_described(tmp_path: Path) -> None:
    statuses: dict[str, set[int]] = defaultdict(set)
    with serving(tmp_path / "hub") as hub:
        schema = schemathesis.openapi.from_url(f"{hub.url}/openapi.json", verify=hub.ca_file)
        for found in schema.get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()
            if operation.label == ENDLESS:
                continue
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                ask(operation, mode, hub, statuses)
    # The document itself was read to get here.
    assert statuses.keys() == CALLS.keys() - {ENDLESS, "GET /openapi.json"}
    good = {label for label, seen in statuses.items() if min(seen) < 300}
    assert good >= ANSWERED


def ask(operation: Any, mode: GenerationMode, hub: Served, statuses: dict[str, set[int]]) -> None:
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
        if mode is GenerationMode.POSITIVE and not operation.label.startswith("DELETE"):
            # What is there, so that bodies are looked at.
            case.path_parameters = {name: KNOWN.get(name, it) for name, it in case.path_parameters.items()}
        if operation.label == LONG_POLL:
            case.query = {**(case.query or {}), "wait": 0}
        response = case.call(base_url=hub.url, headers={"Authorization": hub.token}, verify=hub.ca_file)
        statuses[operation.label].add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    # Where every text is legal there is nothing illegal to send.
    impossible = (Unsatisfiable,) if mode is GenerationMode.NEGATIVE else ()
    with contextlib.suppress(*impossible):
        once()
