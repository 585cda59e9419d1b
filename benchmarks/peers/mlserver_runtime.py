"""A custom runtime of MLServer with a handler for raw bodies."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from benchmarks.peers.handle import handler

mlserver: Any = import_module("mlserver")
starlette: Any = import_module("starlette.requests")
handlers: Any = import_module("mlserver.handlers")
responses: Any = import_module("starlette.responses")


async def _load(self: Any) -> bool:
    self.handle = handler()
    self.ready = True
    return True


async def _score(self: Any, request: Any) -> Any:
    return responses.JSONResponse(await asyncio.to_thread(self.handle, await request.body()))


_score.__annotations__ = {"request": starlette.Request, "return": responses.JSONResponse}
Runtime = type(
    "Runtime",
    (mlserver.MLModel,),
    {"load": _load, "score": handlers.custom_handler(rest_path="/score")(_score)},
)
