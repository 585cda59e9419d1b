"""A page that shows frames with their predictions as they happen, over Server-sent events."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from skerry.clock import Clock
from skerry.service.http import HttpServer
from skerry.service.live_html import CSS, HTML, SCRIPT

Json = Any

# A page for a person or two at the device; more would only share the device's uplink.
VIEWERS_MAX = 8

# What an eye follows; the model may be far faster.
FRAMES_PER_S_MAX = 10.0

# So that a viewer who is gone is noticed while nothing happens.
HEARTBEAT_S = 15.0

# The page loads nothing from anywhere, and shows pictures that come in events.
HEADERS = {
    "content-security-policy": "default-src 'none'; img-src data:; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class LivePage:
    """``publish`` what was seen; who looks at the page gets the newest of it, never a backlog."""

    def __init__(self, clock: Clock) -> None:
        self.published = 0
        self.port = 0
        self._clock = clock
        self._event = b""
        self._shown = 0
        self._viewers = 0
        self._changed = asyncio.Event()
        self._next_due = 0.0
        self._closing = False
        self._server: HttpServer | None = None

    async def start(self, host: str, port: int) -> None:
        """Serve the page; ``self.port`` is the real one. Raises Unavailable when the address is taken."""
        routes = [
            Route("/", _static(HTML, "text/html")),
            Route("/live.css", _static(CSS, "text/css")),
            Route("/live.js", _static(SCRIPT, "text/javascript")),
            Route("/stream", self._stream),
        ]
        app = Starlette(routes=routes)
        self._server = await HttpServer.start(app, host=host, port=port, websockets="none")
        self.port = self._server.port

    async def close(self) -> None:
        """Send the viewers away, then stop serving."""
        self._closing = True
        self._wake()
        if self._server is not None:
            await self._server.close(1.0)

    @property
    def wanted(self) -> bool:
        """Whether a frame published now would be shown: somebody looks, and the last one is old enough."""
        return self._viewers > 0 and self._clock.monotonic() >= self._next_due

    def publish(self, jpeg: bytes | None, document: Json) -> None:
        """Show a frame (None: its prediction only) to who looks."""
        self.published += 1
        if not self.wanted:
            return
        self._next_due = self._clock.monotonic() + 1 / FRAMES_PER_S_MAX
        self._shown += 1
        image = None if jpeg is None else base64.b64encode(jpeg).decode()
        dropped = self.published - self._shown
        data = {"number": self.published, "dropped": dropped, "image": image, "document": document}
        self._event = b"event: frame\ndata: " + json.dumps(data).encode() + b"\n\n"
        self._wake()

    async def _stream(self, _request: Request) -> Response:
        if self._viewers >= VIEWERS_MAX:
            return Response(f"{VIEWERS_MAX} viewers are looking already\n", 503, {"retry-after": "10"})
        return StreamingResponse(self._events(), headers=HEADERS, media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[bytes]:
        self._viewers += 1
        try:
            # An event source opens with the first byte.
            yield b": hello\n\n"
            while not self._closing:
                changed = self._changed
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        await changed.wait()
                except TimeoutError:
                    yield b": still here\n\n"
                else:
                    yield self._event
        finally:
            self._viewers -= 1

    def _wake(self) -> None:
        # A new event for the next frame, so that each viewer wakes once for this one.
        self._changed.set()
        self._changed = asyncio.Event()


def _static(text: str, kind: str) -> Any:
    async def answer(_request: Request) -> Response:
        return Response(text, headers=HEADERS, media_type=kind)

    return answer
