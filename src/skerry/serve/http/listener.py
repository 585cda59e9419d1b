"""The listening socket of the HTTP server, with the clock of its connections."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from email.utils import format_datetime

from skerry.clock import Clock
from skerry.errors import Unavailable
from skerry.serve.http.connection import Connection
from skerry.serve.http.limits import Limits
from skerry.serve.http.message import Handler

# Waiting connections the kernel holds for us while the loop is busy.
BACKLOG = 512

# How late a time limit may be noticed. Looking at all connections at once costs less than a timer for
# each request, and nothing happens while there are none.
LOOK_S = 0.5


class HttpListener:
    """A running server; ``port`` is the real one also when 0 was asked for."""

    def __init__(self, handler: Handler, clock: Clock, limits: Limits) -> None:
        self.handler = handler
        self.limits = limits
        self.connections: set[Connection] = set()
        self.stopping = False
        self.held_bytes = 0
        self.port = 0
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | None = None
        self._look: asyncio.TimerHandle | None = None
        self._date = ("", -1.0)
        self._empty = asyncio.Event()

    @classmethod
    async def start(
        cls,
        handler: Handler,
        *,
        clock: Clock,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits | None = None,
        reuse_port: bool = False,
    ) -> HttpListener:
        """Serve in the running loop; returns when connections are accepted.

        ``reuse_port``: other processes may listen at the same port; the kernel spreads the connections.
        Raises Unavailable when the address is taken or not ours.
        """
        listener = cls(handler, clock, limits or Limits())
        listening = _bind(host, port, reuse_port)
        listener._server = await listener._loop.create_server(listener._connection, sock=listening)
        listener.port = listening.getsockname()[1]
        return listener

    async def close(self, graceful_s: float = 5.0) -> None:
        """Accept nothing more; let running requests end for ``graceful_s`` seconds, then cut them off."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.stop()
        if self.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), graceful_s)
        for connection in list(self.connections):
            connection.abort()
        if self.connections:
            await self._empty.wait()
        if self._server is not None:
            await self._server.wait_closed()
        if self._look is not None:
            self._look.cancel()

    def lost(self, connection: Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        if self.stopping and not self.connections:
            self._empty.set()

    def date(self) -> str:
        """Now, as HTTP writes it; made once per second."""
        text, second = self._date
        now = self._loop.time() // 1
        if now != second:
            text = format_datetime(self._clock.now(), usegmt=True)
            self._date = (text, now)
        return text

    def _connection(self) -> Connection:
        if self._look is None:
            self._look = self._loop.call_later(LOOK_S, self._look_around)
        return Connection(self)

    def _look_around(self) -> None:
        now = self._loop.time()
        for connection in list(self.connections):
            connection.expire(now)
        self._look = self._loop.call_later(LOOK_S, self._look_around) if self.connections else None


def _bind(host: str, port: int, reuse_port: bool) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _not_bound(host, port, error) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise _not_bound(host, port, error) from error
    return listening


def _not_bound(host: str, port: int, error: OSError) -> Unavailable:
    hints = {
        errno.EADDRINUSE: "another process serves there; stop it or choose another port",
        errno.EACCES: "ports below 1024 need the capability net_bind_service; choose another port",
    }
    return Unavailable(
        f"cannot listen on {host}:{port}: {error.strerror or error}",
        hint=hints.get(error.errno or 0, "choose an address of this machine"),
    )
