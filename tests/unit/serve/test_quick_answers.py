"""What a quick net answers without a task says the same as what others answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest

from skerry.clock import SystemClock
from skerry.package.postprocess import OutputAnswer, Prediction
from skerry.serve.answer import Latency, Scored
from skerry.serve.http.listener import HttpListener
from skerry.serve.measures import Measures
from skerry.serve.protocol import encode, prediction_document, prediction_json
from skerry.serve.scoring import Scorer
from skerry.serve.surface import http_handler
from tests.unit.serve.support import GREEN, RED, activated_package, picture

SCORED = Scored(
    predictions=(Prediction('a"b', "Grün \\ \u2028", 0.75, 0), Prediction("c1", "", 1e-9, 1)),
    probabilities="sha256:00",
    margin=0.5,
    input="sha256:01",
    model="sha256:02",
    recipe="sha256:03",
    batch=3,
    latency=Latency(0.1234567, 0.0, 12.0, 1e-7),
    at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)


@pytest.mark.parametrize(
    "scored",
    [
        SCORED,
        replace(SCORED, predictions=()),
        replace(SCORED, further=(OutputAnswer("size", "regression", SCORED.predictions),)),
    ],
)
def test_what_is_written_by_hand_is_what_the_encoder_writes(scored: Scored) -> None:
    assert prediction_json(scored) == encode(prediction_document(scored))


@asynccontextmanager
async def serving(folder: Path, *, in_loop: bool, admitted_max: int = 64) -> AsyncIterator[httpx.AsyncClient]:
    activated = activated_package(folder)
    scorer = Scorer(
        activated.package,
        activated.predictor,
        clock=SystemClock(),
        in_loop=in_loop,
        admitted_max=admitted_max,
    )
    listener = await HttpListener.start(http_handler(scorer, Measures()), clock=SystemClock())
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.port}", trust_env=False) as http:
        yield http
        assert scorer.waiting == 0
    await listener.close()
    await scorer.close()


async def test_the_same_answers_as_on_a_thread_and_counted_the_same(tmp_path: Path) -> None:
    said = []
    for name, in_loop in (("loop", True), ("thread", False)):
        async with serving(tmp_path / name, in_loop=in_loop) as http:
            bodies = [picture(RED), picture(GREEN), b"no image", b"", picture(RED, (900, 700))]
            answers = [
                await http.post("/score", content=body, headers={"content-type": "image/png"})
                for body in bodies
            ]
            numbers = (await http.get("/metrics")).text
        counted = [
            line for line in numbers.splitlines() if line.startswith("skerry_serve_") and "le=" not in line
        ]
        counted = [
            line for line in counted if not any(word in line for word in ("_sum", "_created", "stage"))
        ]
        documents = [answer.json() for answer in answers]
        for document in documents:
            for varies in ("latencyMs", "time"):
                document.pop(varies, None)
        headers = [
            {"x-skerry-model", "x-request-id", "x-ms-run-function-failed"} & set(a.headers) for a in answers
        ]
        said.append(([a.status_code for a in answers], documents, headers, counted))
    assert said[0] == said[1]
    assert said[0][0] == [200, 200, 400, 400, 200]


async def test_many_at_once_get_their_own_and_more_than_the_queue_holds_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, in_loop=True, admitted_max=4) as http:
        colours = [RED, GREEN] * 20
        tensor = np.zeros((1, 8, 8, 3), np.float32).tolist()
        asked = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 8, 8, 3], "data": tensor}]}
        answers = await asyncio.gather(
            *(http.post("/score", content=picture(colour)) for colour in colours),
            *(http.post("/v2/models/colours/infer", json=asked) for _ in range(10)),
        )
        statuses = {answer.status_code for answer in answers}
        assert 200 in statuses <= {200, 503}
        for answer, colour in zip(answers, colours, strict=False):
            if answer.status_code == 200:
                assert json.loads(answer.content)["label"] == ("red" if colour is RED else "green")
            else:
                assert answer.headers["retry-after"] == "1"
