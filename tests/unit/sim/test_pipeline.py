"""The tutorial's process pipeline against something that answers like its module."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from skerry.errors import InvalidInput, Unavailable
from skerry.service.http import HttpServer
from skerry.sim.pipeline import run_pipeline
from skerry.sim.source import Frame, folder_frames

Answer = Callable[[bytes, str], Response]


def by_content(body: bytes, content_type: str) -> Response:
    label = body.decode()
    return JSONResponse([{"image": [["id-" + label, label, 0.75], ["x", "other", 0.25]]}, "Computed in 1 ms"])


@asynccontextmanager
async def module(answer: Answer) -> AsyncIterator[str]:
    async def score(request: Request) -> Response:
        async with request.form() as form:
            [part] = form.getlist("image")
            assert not isinstance(part, str)
            return answer(await part.read(), part.content_type or "")

    app = Starlette(routes=[Route("/score", score, methods=["POST"])])
    server = await HttpServer.start(app, websockets="none")
    try:
        yield f"http://127.0.0.1:{server.port}/"
    finally:
        await server.close()


@pytest.fixture
def frames(tmp_path: Path) -> list[Frame]:
    for name in ("cat/1.png", "dog/1.jpg", "dog/2.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(path.parent.name)
    return folder_frames(tmp_path)


async def test_every_frame_is_answered_in_order(frames: list[Frame]) -> None:
    async with module(by_content) as url:
        records = await run_pipeline(frames, url)
    assert [(r.frame, r.truth, r.label, r.score, r.tries) for r in records] == [
        ("cat/1.png", "cat", "cat", 0.75, 1),
        ("dog/1.jpg", "dog", "dog", 0.75, 1),
        ("dog/2.jpg", "dog", "dog", 0.75, 1),
    ]
    assert all(r.latency_ms > 0 for r in records)
    assert records[0].predictions == (("id-cat", "cat", 0.75), ("x", "other", 0.25))


async def test_a_busy_module_is_asked_again(frames: list[Frame]) -> None:
    answers = [Response(status_code=503)]

    def busy_once(body: bytes, content_type: str) -> Response:
        return answers.pop() if answers else by_content(body, content_type)

    async with module(busy_once) as url:
        records = await run_pipeline(frames, url, in_flight=1)
    assert [record.tries for record in records] == [2, 1, 1]


async def test_a_frame_that_is_refused_is_named(frames: list[Frame]) -> None:
    async with module(lambda _body, _type: JSONResponse({"message": "no"}, 400)) as url:
        with pytest.raises(InvalidInput, match=r"cat/1\.png: the module answered 400"):
            await run_pipeline(frames, url, in_flight=1)


async def test_an_answer_of_another_shape_is_refused(frames: list[Frame]) -> None:
    async with module(lambda _body, _type: JSONResponse({"image": []})) as url:
        with pytest.raises(InvalidInput, match="shape"):
            await run_pipeline(frames, url, in_flight=1)


async def test_no_module_is_unavailable(frames: list[Frame]) -> None:
    async with module(by_content) as url:
        pass
    with pytest.raises(Unavailable):
        await asyncio.wait_for(run_pipeline(frames, url), 10)
