"""The listening side: accepts TCP or TLS connections and watches their time limits."""

from __future__ import annotations

import asyncio
import errno
import logging
import ssl
from asyncio import sslproto

from skerry.clock import Clock
from skerry.errors import Unavailable

from .link import Handler, Limits, Link

log = logging.getLogger(__name__)

# How often time limits are looked at: they are enforced up to this much late.
CHECK_EVERY_S = 1.0
CLOSE_GRACE_S = 3.0
BACKLOG = 1024
# Stdlib asyncio's TLS has a read buffer of 256 KiB per connection: 285 kB each were measured, 38 kB so.
TLS_READ_BUFFER_BYTES = 16 * 1024


async def serve(
    handler: Handler,
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    *,
    clock: Clock,
    limits: Limits | None = None,
) -> Listener:
    """Listen for MQTT on ``host`` and ``port`` (0: any free one); Unavailable when that cannot be had."""
    listener = Listener(handler, clock, limits or Limits())
    await listener.open(host, port, tls)
    return listener


class Listener:
    """An open port with the links that came in through it."""

    def __init__(self, handler: Handler, clock: Clock, limits: Limits) -> None:
        self._handler = handler
        self._clock = clock
        self._limits = limits
        self._links: set[Link] = set()
        self._server: asyncio.Server | None = None
        self._watch: asyncio.Task[None] | None = None
        self.port = 0

    @property
    def connections(self) -> int:
        return len(self._links)

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        if tls is not None:
            sslproto.SSLProtocol.max_size = TLS_READ_BUFFER_BYTES
        handshake_s = self._limits.connect_timeout_s if tls is not None else None
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._link, host, port, ssl=tls, backlog=BACKLOG, ssl_handshake_timeout=handshake_s
            )
        except OSError as exc:
            hint = "stop what listens there, or choose another port" if exc.errno == errno.EADDRINUSE else ""
            raise Unavailable(f"cannot listen on {host}:{port}: {exc.strerror}", hint=hint) from exc
        self.port = self._server.sockets[0].getsockname()[1]
        self._watch = asyncio.create_task(self._watching())

    async def close(self) -> None:
        """Stop listening, end all links, and wait until they are gone."""
        if self._server is None or self._watch is None:
            return
        self._server.close()
        self._watch.cancel()
        links = list(self._links)
        for link in links:
            link.close("the server is stopping")
        waits = [asyncio.ensure_future(link.settled()) for link in links]
        if waits:
            _, late = await asyncio.wait(waits, timeout=CLOSE_GRACE_S)
            if late:
                for link in links:
                    link.abort()
                await asyncio.wait(late)
        await asyncio.wait([self._watch])
        await self._server.wait_closed()
        self._server = None

    def _link(self) -> Link:
        return Link(self._handler, self._clock, self._limits, on_made=self._made, on_gone=self._links.discard)

    def _made(self, link: Link) -> None:
        self._links.add(link)
        if len(self._links) > self._limits.connections_max:
            log.warning("refused %s: %d connections are open", link.peer, self._limits.connections_max)
            link.close("too many connections")

    async def _watching(self) -> None:
        while True:
            await self._clock.sleep(CHECK_EVERY_S)
            now = self._clock.monotonic()
            for link in list(self._links):
                link.check(now)
