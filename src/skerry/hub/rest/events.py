"""Telemetry over HTTP: a live stream (SSE) or pages by long poll; ours (contract §4.8, end)."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from skerry.contract.json_text import compact, parse_json
from skerry.contract.message import Message
from skerry.contract.names import DeviceId, ModuleId
from skerry.errors import InvalidInput, SkerryError
from skerry.hub.policies import Right
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.callers import require_reader, verbs_of
from skerry.hub.telemetry import PAGE_MAX, Event, Filter, Telemetry

# Proxies and clients give up on a quiet connection after 30 s or more; a comment line keeps it alive.
KEEP_ALIVE_S = 15.0
# The longest a page may be waited for.
WAIT_MAX_S = 60.0
WAIT_DEFAULT_S = 20.0


def routes() -> list[BaseRoute]:
    return [
        Route("/events", stream, methods=["GET"]),
        Route("/events/page", page, methods=["GET"]),
    ]


async def stream(request: Request) -> Response:
    """``GET /events?from=earliest|latest|<seq>&device=&module=``: every event after that position, for ever.

    Each has its sequence number as id, so that a client that reconnects with ``Last-Event-ID`` misses none.
    """
    require_reader(request, Right.SERVICE_CONNECT)
    telemetry = verbs_of(request).telemetry
    start = request.headers.get("last-event-id") or request.query_params.get("from", "latest")
    after = await _position(telemetry, start)
    body = _lines(telemetry, after, _filter(request))
    return StreamingResponse(body, media_type="text/event-stream", headers={"cache-control": "no-store"})


async def page(request: Request) -> Response:
    """``GET /events/page?after=&limit=&wait=&device=&module=``: ``{"events": […], "next": position}``."""
    require_reader(request, Right.SERVICE_CONNECT)
    telemetry = verbs_of(request).telemetry
    after = await _position(telemetry, request.query_params.get("after", "earliest"))
    limit = int(_number(request, "limit", PAGE_MAX, 1, PAGE_MAX))
    wait_s = _number(request, "wait", WAIT_DEFAULT_S, 0, WAIT_MAX_S)
    events = await telemetry.read_or_wait(after, limit, _filter(request), wait_s)
    newest = events[-1].sequence if events else after
    return Answer({"events": [event_json(event) for event in events], "next": newest})


def event_json(event: Event) -> dict[str, Any]:
    """One event as a reader gets it. ``body`` is JSON when it says so and is, else base64 text."""
    document = {
        "sequence": event.sequence,
        "enqueuedTime": event.enqueued,
        "deviceId": str(event.sender.device),
        "moduleId": None if event.sender.module is None else str(event.sender.module),
        "properties": dict(event.message.properties),
        "systemProperties": dict(event.message.system),
    }
    return {**document, **_body(event.message)}


def _body(message: Message) -> dict[str, Any]:
    content_type = message.system.get("contentType", "").partition(";")[0].strip().lower()
    encoding = message.system.get("contentEncoding", "").lower()
    if content_type == "application/json" and encoding in ("utf-8", "utf8"):
        try:
            body = parse_json(message.body)
            compact(body)
            return {"body": body}
        except SkerryError:
            # It says JSON and is not (or holds 1e999, which is none either): the reader gets the bytes.
            return _base64(message.body)
    return _base64(message.body)


def _base64(body: bytes) -> dict[str, Any]:
    return {"body": base64.b64encode(body).decode(), "bodyEncoding": "base64"}


async def _lines(telemetry: Telemetry, after: int, only: Filter) -> AsyncIterator[str]:
    # At once, so that the client knows it is connected and a proxy passes the headers on.
    yield f": after {after}\n\n"
    async for event in telemetry.follow(after, only, KEEP_ALIVE_S):
        if event is None:
            yield ": alive\n\n"
        else:
            # ASCII: a device may send half a surrogate pair, which UTF-8 cannot carry.
            data = json.dumps(event_json(event), separators=(",", ":"))
            yield f"id: {event.sequence}\ndata: {data}\n\n"


async def _position(telemetry: Telemetry, text: str) -> int:
    if text == "earliest":
        return 0
    if text == "latest":
        return await telemetry.newest()
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise InvalidInput(
        f"position {text[:40]!r} is not one", hint="earliest, latest or a sequence number", field="from"
    )


def _filter(request: Request) -> Filter:
    device = request.query_params.get("device")
    module = request.query_params.get("module")
    return Filter(
        device=None if device is None else str(DeviceId(device)),
        module=str(ModuleId(module)) if module else module,
        source=request.query_params.get("source"),
    )


def _number(request: Request, field: str, default: float, least: float, most: float) -> float:
    text = request.query_params.get(field)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise InvalidInput(
            f"{field} is {text[:40]!r}", hint=f"a number from {least:g} to {most:g}", field=field
        )
    return value
