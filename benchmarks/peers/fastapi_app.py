"""FastAPI under uvicorn with uvloop and httptools; the handler runs in its thread pool."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from benchmarks.peers.handle import handler

fastapi: Any = import_module("fastapi")
concurrency: Any = import_module("starlette.concurrency")

app = fastapi.FastAPI()
handle = handler()


async def score(request: Any) -> Any:
    """The classes of the body."""
    return await concurrency.run_in_threadpool(handle, await request.body())


score.__annotations__ = {"request": fastapi.Request}
app.post("/score")(score)
