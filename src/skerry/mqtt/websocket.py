"""MQTT over WebSocket (MQTT 3.1.1 §6): an ASGI endpoint that a link runs over."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from skerry.clock import Clock

from .link import Handler, Limits, Link
from .server import CHECK_EVERY_S, CLOSE_GRACE_S

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SUBPROTOCOL = "mqtt"
# RFC 6455 §7.4.1: normal closure; a kind of data that is not taken.
_NORMAL = 1000
_NOT_BINARY = 1003


async def serve_websocket(
    handler: Handler,
    receive: Receive,
    send: Send,
    scope: MutableMapping[str, Any],
    *,
    clock: Clock,
    limits: Limits | None = None,
) -> None:
    """Serve one WebSocket until it ends; one that does not offer the subprotocol ``mqtt`` is refused."""
    await receive()  # websocket.connect
    if SUBPROTOCOL not in scope.get("subprotocols", ()):
        await send({"type": "websocket.close", "code": _NOT_BINARY})
        return
    await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
    link = Link(handler, clock, limits or Limits())
    wire = _WebSocketWire(scope)
    link.attach(wire)
    tasks = [
        asyncio.ensure_future(work)
        for work in (_reading(link, wire, receive), _writing(wire, send), _watching(link, clock))
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        link.connection_lost(None)
        # What it sent is being stored as if it had come over TCP; cancelled only when that takes very long.
        await asyncio.wait([asyncio.ensure_future(link.settled())], timeout=CLOSE_GRACE_S)
        link.abort()
    for outcome in outcomes:
        # The peer vanished while we wrote; a server says so by OSError (ASGI 3, "disconnected client").
        if isinstance(outcome, Exception) and not isinstance(outcome, OSError):
            raise outcome


class _WebSocketWire:
    """Looks like an asyncio transport to a link."""

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        client = scope.get("client")
        self._extra = {
            "peername": tuple(client) if client else None,
            # Ours: what asyncio's transport would give (service.http).
            "ssl_object": scope.get("extensions", {}).get("ssl_object"),
        }
        self._size = 0
        self.frames: deque[bytes] = deque()
        self.more = asyncio.Event()
        self.readable = asyncio.Event()
        self.readable.set()
        self.closing = False
        self.aborted = False

    def write(self, data: bytes) -> None:
        if not self.closing:
            self.frames.append(data)
            self._size += len(data)
            self.more.set()

    def written(self, count: int) -> None:
        self._size -= count

    def get_write_buffer_size(self) -> int:
        return self._size

    def pause_reading(self) -> None:
        self.readable.clear()

    def resume_reading(self) -> None:
        self.readable.set()

    def close(self) -> None:
        self.closing = True
        self.more.set()

    def abort(self) -> None:
        self.aborted = True
        self.frames.clear()
        self.close()

    def get_extra_info(self, name: str) -> object:
        return self._extra.get(name)


async def _reading(link: Link, wire: _WebSocketWire, receive: Receive) -> None:
    while True:
        await wire.readable.wait()
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        data = event.get("bytes")
        if data is None:
            link.close("it sent a text frame")
        else:
            link.data_received(data)


async def _writing(wire: _WebSocketWire, send: Send) -> None:
    while True:
        while wire.frames:
            frame = wire.frames.popleft()
            await send({"type": "websocket.send", "bytes": frame})
            wire.written(len(frame))
        if wire.closing:
            await send({"type": "websocket.close", "code": _NORMAL})
            return
        wire.more.clear()
        await wire.more.wait()


async def _watching(link: Link, clock: Clock) -> None:
    """Enforce time limits; returns, which ends the whole, when the writer is stuck at the peer."""
    while True:
        await clock.sleep(CHECK_EVERY_S)
        link.check(clock.monotonic())
        if link.stuck(clock.monotonic()):
            return
