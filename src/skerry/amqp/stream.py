"""The sockets: a listener for AMQP connections, and one connection to a server."""

from __future__ import annotations

import asyncio
import errno
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from skerry.clock import Clock
from skerry.errors import Unavailable

from .connection import Authenticate, Connection
from .events import Closed, Event
from .fault import FORCED

log = logging.getLogger(__name__)

CHECK_EVERY_S = 1.0
CLOSE_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a server."""

    # From the TCP connection to the peer's open, TLS handshake included.
    open_timeout_s: float = 30.0
    # Service clients only: dashboards and event readers, not devices.
    connections_max: int = 500
    # Unread bytes at which a peer counts as one that never reads; senders stop long before.
    write_buffer_bytes_max: int = 8 * 1024 * 1024


class Handler(Protocol):
    """What a server does with its connections; called from the loop, in the order of what the peer sends."""

    def authenticate(self, wire: Wire, mechanism: str, answer: bytes) -> bool:
        """Whether a client may go on after its SASL answer."""

    def happened(self, wire: Wire, event: Event) -> None:
        """What ``connection`` is asked for in here is written afterwards. ``Closed`` comes last, once."""


class Wire(asyncio.Protocol):
    """A connection with its socket; ``context`` is the handler's to set."""

    def __init__(
        self,
        happened: Callable[[Wire, Event], None],
        clock: Clock,
        limits: Limits,
        *,
        container: str,
        authenticate: Callable[[Wire, str, bytes], bool] | None = None,
        on_made: Callable[[Wire], None] = lambda wire: None,
        on_gone: Callable[[Wire], None] = lambda wire: None,
    ) -> None:
        self.context: object = None
        self.peer = ""
        judge: Authenticate | None = None
        if authenticate is not None:

            def judge(mechanism: str, answer: bytes) -> bool:
                return authenticate(self, mechanism, answer)

        self._began = clock.monotonic()
        self.connection = Connection(container, self._began, authenticate=judge)
        self._happened = happened
        self._clock = clock
        self._limits = limits
        self._on_made = on_made
        self._on_gone = on_gone
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = asyncio.Event()
        self._closing_since: float | None = None

    def flush(self) -> None:
        """Write what the connection has to say."""
        data = self.connection.outgoing(self._clock.monotonic())
        if self._transport is None or self._transport.is_closing():
            return
        if data:
            self._transport.write(data)
        if self.connection.is_closed:
            self._closing_since = self._clock.monotonic()
            self._transport.close()
        elif self._transport.get_write_buffer_size() > self._limits.write_buffer_bytes_max:
            log.info("%s does not read; its connection is cut", self.peer)
            self._transport.abort()

    async def writable(self) -> None:
        """Return when the peer has read most of what was written, or is gone."""
        await self._writable.wait()

    def close(self, condition: str, description: str) -> None:
        """End the connection, telling the peer why."""
        self._tell(self.connection.close(condition, description))

    async def gone(self) -> None:
        """Return when the socket is closed."""
        await self._gone.wait()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def check(self, now: float) -> None:
        """Enforce the time limits."""
        if self._closing_since is not None:
            if now - self._closing_since > CLOSE_GRACE_S:
                self.abort()
        elif not self.connection.is_open and now - self._began > self._limits.open_timeout_s:
            self.close(FORCED, "no open in time")
        else:
            self._tell(self.connection.tick(now))

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        self.peer = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name)
        self._on_made(self)
        self.flush()

    def data_received(self, data: bytes) -> None:
        self._tell(self.connection.receive(data, self._clock.monotonic()))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tell(self.connection.close(FORCED, "the connection was lost"))
        self._writable.set()
        self._gone.set()
        self._on_gone(self)

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Closed):
                log.debug("AMQP connection of %s ends: %s", self.peer, event.reason)
            self._happened(self, event)
        self.flush()


class Listener:
    """An open port with the connections that came in through it."""

    def __init__(self, handler: Handler, clock: Clock, limits: Limits, container: str) -> None:
        self._handler = handler
        self._clock = clock
        self._limits = limits
        self._container = container
        self._wires: set[Wire] = set()
        self._server: asyncio.Server | None = None
        self._watch: asyncio.Task[None] | None = None
        self.port = 0

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        handshake_s = self._limits.open_timeout_s if tls is not None else None
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._wire, host, port, ssl=tls, ssl_handshake_timeout=handshake_s
            )
        except OSError as exc:
            hint = "stop what listens there, or choose another port" if exc.errno == errno.EADDRINUSE else ""
            raise Unavailable(f"cannot listen on {host}:{port}: {exc.strerror}", hint=hint) from exc
        self.port = self._server.sockets[0].getsockname()[1]
        self._watch = asyncio.create_task(self._watching())

    async def close(self) -> None:
        """Stop listening, end all connections, and wait until they are gone."""
        if self._server is None or self._watch is None:
            return
        self._server.close()
        self._watch.cancel()
        wires = list(self._wires)
        for wire in wires:
            wire.close(FORCED, "the server is stopping")
        await _all_gone(wires)
        await asyncio.wait([self._watch])
        await self._server.wait_closed()
        self._server = None

    def _wire(self) -> Wire:
        return Wire(
            self._handler.happened,
            self._clock,
            self._limits,
            container=self._container,
            authenticate=self._handler.authenticate,
            on_made=self._made,
            on_gone=self._wires.discard,
        )

    def _made(self, wire: Wire) -> None:
        self._wires.add(wire)
        if len(self._wires) > self._limits.connections_max:
            log.warning("refused %s: %d AMQP connections are open", wire.peer, self._limits.connections_max)
            wire.close(FORCED, "too many connections")

    async def _watching(self) -> None:
        while True:
            await self._clock.sleep(CHECK_EVERY_S)
            now = self._clock.monotonic()
            for wire in list(self._wires):
                wire.check(now)


async def serve(
    handler: Handler,
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    *,
    clock: Clock,
    container: str,
    limits: Limits | None = None,
) -> Listener:
    """Listen for AMQP on ``host`` and ``port`` (0: any free one); Unavailable when that cannot be had."""
    listener = Listener(handler, clock, limits or Limits(), container)
    await listener.open(host, port, tls)
    return listener


async def connect(
    happened: Callable[[Wire, Event], None],
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    *,
    clock: Clock,
    container: str,
    server_hostname: str | None = None,
) -> Wire:
    """A client's connection (SASL ANONYMOUS); ``Opened`` follows. Raises Unavailable."""

    def made() -> Wire:
        return Wire(happened, clock, Limits(), container=container)

    name = server_hostname if tls is not None else None
    try:
        _, wire = await asyncio.get_running_loop().create_connection(
            made, host, port, ssl=tls, server_hostname=name
        )
    except OSError as exc:
        raise Unavailable(f"cannot reach {host}:{port}: {exc}") from exc
    return wire


async def _all_gone(wires: list[Wire]) -> None:
    waits = [asyncio.ensure_future(wire.gone()) for wire in wires]
    if not waits:
        return
    _, late = await asyncio.wait(waits, timeout=CLOSE_GRACE_S)
    if late:
        for wire in wires:
            wire.abort()
        await asyncio.wait(late)
