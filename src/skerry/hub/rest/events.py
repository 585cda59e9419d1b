"""Telemetry over HTTP: a live stream (SSE) or pages by long poll; ours (contract §4.8, end)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from skerry.clock import iso
from skerry.contract.names import DeviceId, ModuleId
from skerry.errors import InvalidInput
from skerry.hub.consumers import DEFAULT
from skerry.hub.event_json import event_json
from skerry.hub.policies import Right
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.callers import require_reader, verbs_of
from skerry.hub.telemetry import PAGE_MAX, Filter, Telemetry

# Proxies and clients give up on a quiet connection after 30 s or more; a comment line keeps it alive.
KEEP_ALIVE_S = 15.0
# The longest a page may be waited for.
WAIT_MAX_S = 60.0
WAIT_DEFAULT_S = 20.0


def routes() -> list[BaseRoute]:
    return [
        Route("/events", stream, methods=["GET"]),
        Route("/events/page", page, methods=["GET"]),
        Route("/events/position", position, methods=["GET"]),
    ]


async def stream(request: Request) -> Response:
    """``GET /events?from=earliest|latest|<seq>|<time>&group=&device=&module=&source=``: every event after
    that position, for ever; with ``group`` and no position, after what that consumer group has committed.

    Each has its sequence number as id, so that a client that reconnects with ``Last-Event-ID`` misses none.
    """
    require_reader(request, Right.SERVICE_CONNECT)
    telemetry = verbs_of(request).telemetry
    start = request.headers.get("last-event-id") or request.query_params.get("from")
    after = await _start(request, start, "latest")
    body = _lines(telemetry, after, _filter(request))
    return StreamingResponse(body, media_type="text/event-stream", headers={"cache-control": "no-store"})


async def page(request: Request) -> Response:
    """``GET /events/page?after=&limit=&wait=&device=&module=``: ``{"events": […], "next": position}``."""
    require_reader(request, Right.SERVICE_CONNECT)
    telemetry = verbs_of(request).telemetry
    after = await _start(request, request.query_params.get("after"), "earliest")
    limit = int(_number(request, "limit", PAGE_MAX, 1, PAGE_MAX))
    wait_s = _number(request, "wait", WAIT_DEFAULT_S, 0, WAIT_MAX_S)
    events = await telemetry.read_or_wait(after, limit, _filter(request), wait_s)
    newest = events[-1].sequence if events else after
    return Answer({"events": [event_json(event) for event in events], "next": newest})


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


async def position(request: Request) -> Response:
    """``GET /events/position?at=latest|<time>``: the last event that was there at that moment."""
    require_reader(request, Right.SERVICE_CONNECT)
    at = request.query_params.get("at", "latest")
    return Answer({"sequence": await _position(verbs_of(request).telemetry, at)})


async def _start(request: Request, given: str | None, default: str) -> int:
    group = request.query_params.get("group", DEFAULT)
    if given is None and group != DEFAULT:
        return await verbs_of(request).consumers.checkpoint(group)
    return await _position(verbs_of(request).telemetry, given or default)


async def _position(telemetry: Telemetry, text: str) -> int:
    if text == "earliest":
        return 0
    if text == "latest":
        return await telemetry.newest()
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise InvalidInput(
            f"position {text[:40]!r} is not one",
            hint="earliest, latest, a sequence number or an ISO time",
            field="from",
        ) from exc
    # A time without a zone is UTC, as in all of Azure's documents.
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return await telemetry.before_time(iso(aware))


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
