"""The edge hub's HTTPS: MQTT over WebSocket, and methods from module to module (contract.md §2.8)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from skerry.clock import Clock
from skerry.contract.json_text import parse_json
from skerry.contract.method import MethodRequest
from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.edge.hub.authority import Authority
from skerry.edge.hub.methods import Methods
from skerry.errors import (
    InvalidInput,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    SkerryError,
    TimedOut,
    TooLarge,
    Unavailable,
)
from skerry.mqtt.link import Handler
from skerry.mqtt.websocket import serve_websocket
from skerry.service.http import AsgiApp, ErrorMiddleware, Receive, Scope, Send

WEBSOCKET_PATH = "/$iothub/websocket"
# contract.md §2.8: a method's payload is at most 128 KB.
BODY_BYTES_MAX = 132 * 1024
_STATUS: Mapping[type[SkerryError], int] = {
    InvalidInput: 400,
    NotAuthenticated: 401,
    NotAllowed: 401,
    NotFound: 404,
    Unavailable: 404,
    TooLarge: 413,
    TimedOut: 504,
}


def https_app(
    device: DeviceId, authority: Authority, methods: Methods, handler: Handler, clock: Clock
) -> AsgiApp:
    """The ASGI application."""

    async def invoke(request: Request) -> Response:
        caller = _caller(request, device, authority)
        module = request.path_params.get("module")
        target = Identity(DeviceId(request.path_params["device"]), ModuleId(module) if module else None)
        # A device of the scope is as good as this one (contract.md §2.8).
        if target.device != device and not authority.knows(target):
            raise NotFound(f"{target.client_id} is not of this device", caller=caller.client_id)
        call = MethodRequest.parse(parse_json(await _body(request), bytes_max=BODY_BYTES_MAX))
        answer = await methods.invoke(target, call)
        return JSONResponse(answer.to_json())

    http = Starlette(
        routes=[
            Route("/twins/{device}/methods", invoke, methods=["POST"]),
            Route("/twins/{device}/modules/{module}/methods", invoke, methods=["POST"]),
        ],
        middleware=[Middleware(ErrorMiddleware, render=_render)],
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await http(scope, receive, send)
        elif scope["path"] == WEBSOCKET_PATH:
            await serve_websocket(handler, receive, send, scope, clock=clock)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    return app


def _caller(request: Request, device: DeviceId, authority: Authority) -> Identity:
    """Who calls: named by the header, proved by the token."""
    named = request.headers.get("x-ms-edge-moduleid")
    if not named:
        raise InvalidInput("the header x-ms-edge-moduleId is missing", path="x-ms-edge-moduleId")
    caller = Identity.parse(named)
    if caller.device != device:
        raise NotAuthenticated(f"{named} is not of this device", reason="unknown")
    authority.check(caller, request.headers.get("authorization"))
    return caller


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise TooLarge("the method's payload is too large", bytes_max=BODY_BYTES_MAX)
    return body


def _render(error: SkerryError) -> tuple[int, Mapping[str, str], bytes]:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    body: dict[str, Any] = {"message": str(error)}
    return status, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(body).encode()
