"""A service of BentoML with an ASGI application mounted, for raw bodies."""

from __future__ import annotations

import asyncio
import os
from importlib import import_module
from typing import Any

from benchmarks.peers.handle import handler

bentoml: Any = import_module("bentoml")
applications: Any = import_module("starlette.applications")
responses: Any = import_module("starlette.responses")
routing: Any = import_module("starlette.routing")

handle = handler()


async def score(request: Any) -> Any:
    """The classes of the body."""
    return responses.JSONResponse(await asyncio.to_thread(handle, await request.body()))


class _Peer:
    """Nothing but what is mounted."""


app = applications.Starlette(routes=[routing.Route("/score", score, methods=["POST"])])
Peer = bentoml.asgi_app(app, path="/")(
    bentoml.service(workers=int(os.environ["PEER_WORKERS"]), traffic={"timeout": 60}, name="Peer")(_Peer)
)
