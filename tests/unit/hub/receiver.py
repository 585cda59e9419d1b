"""A web address that takes CloudEvents, as a test wants it to answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from skerry.service.http import HttpServer

Json = dict[str, Any]
Judge = Callable[[list[Json]], Response | int]


class Receiver:
    """``judge`` gives the status, or the answer, for a batch; ``taken`` are the events it took."""

    def __init__(self) -> None:
        self.judge: Judge = lambda batch: 204
        self.asked: list[list[Json]] = []
        self.headers: list[dict[str, str]] = []
        self.taken: list[Json] = []
        self.url = ""

    async def take(self, request: Request) -> Response:
        batch = await request.json()
        self.asked.append(batch)
        self.headers.append(dict(request.headers))
        judged = self.judge(batch)
        answer = Response(status_code=judged) if isinstance(judged, int) else judged
        if answer.status_code < 300:
            self.taken += batch
        return answer

    def bodies(self) -> list[Any]:
        return [event["data"]["body"] for event in self.taken]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    application = Starlette(routes=[Route("/hook", receiver.take, methods=["POST"])])
    server = await HttpServer.start(application)
    receiver.url = f"http://127.0.0.1:{server.port}/hook"
    try:
        yield receiver
    finally:
        await server.close(1.0)
