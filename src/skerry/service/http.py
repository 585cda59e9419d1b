"""An ASGI application served on TCP, TLS or a unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Literal, cast

import uvicorn

from skerry.errors import SkerryError, Unavailable
from skerry.service.patient_http import Patience, patient
from skerry.service.tls import TlsFiles

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# Waiting connections the kernel holds for us while the loop is busy.
BACKLOG = 512
# Beyond them a request gets 503: a process has so many descriptors, and devices need theirs.
CONNECTIONS_MAX = 10_000
# uvicorn refreshes its Date header this often; it also bounds how late a lost wake-up is noticed.
TICK_S = 1.0


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, telling when it has started, woken to stop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self.stop = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as ending:
            # uvicorn ends the process when the application's lifespan fails; that is its owner's to decide.
            raise _not_started() from ending
        if not self.should_exit:
            self.up.set()

    async def main_loop(self) -> None:
        # uvicorn's own loop wakes ten times a second, which is heat on an idle device.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), TICK_S)


class HttpServer:
    """A running server; ``port`` is the real one also when 0 was asked for, and 0 on a unix socket."""

    def __init__(self, server: _Server, task: asyncio.Task[None], port: int, unix_path: Path | None) -> None:
        self._server = server
        self._task = task
        self.port = port
        self.unix_path = unix_path

    @classmethod
    async def start(
        cls,
        app: AsgiApp,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: TlsFiles | ssl.SSLContext | None = None,
        unix_path: Path | None = None,
        unix_mode: int = 0o660,
        http: Literal["h11", "httptools"] = "httptools",
        websockets: Literal["wsproto", "none"] = "wsproto",
        patience: Patience | None = None,
    ) -> HttpServer:
        """Serve ``app`` in the running loop; returns when connections are accepted.

        Raises Unavailable when the address is taken or not ours, InvalidInput for unusable TLS files.
        """
        listening = _bind_unix(unix_path, unix_mode) if unix_path is not None else _bind_tcp(host, port)
        try:
            server = _Server(_config(app, tls, http, websockets, patience or Patience()))
            task = asyncio.create_task(server.serve([listening]), name=f"http {unix_path or host}")
            await _wait_until_up(server, task)
        except BaseException:
            listening.close()
            raise
        bound = listening.getsockname()[1] if unix_path is None else 0
        return cls(server, task, bound, unix_path)

    async def close(self, graceful_s: float = 5.0) -> None:
        """Accept nothing more; let running requests end for ``graceful_s`` seconds, then cancel them."""
        # uvicorn counts in whole seconds, and takes 0 for "exceeded at once" even with nothing to wait for.
        self._server.config.timeout_graceful_shutdown = max(math.ceil(graceful_s), 1)
        self._server.should_exit = True
        self._server.stop.set()
        await self._task
        # A TLS peer that keeps an idle connection may never answer the farewell; its transport would stay.
        for connection in list(self._server.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        if self.unix_path is not None:
            self.unix_path.unlink(missing_ok=True)

    async def wait_closed(self) -> None:
        """Return when the server has ended, for whatever reason."""
        await asyncio.shield(self._task)


class ErrorMiddleware:
    """ASGI middleware that turns an error of ours into the response that ``render`` makes of it.

    ``render(error)`` gives (status, headers, body). Once a response has begun the error goes on upwards.
    """

    def __init__(
        self, app: AsgiApp, render: Callable[[SkerryError], tuple[int, Mapping[str, str], bytes]]
    ) -> None:
        self._app = app
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(event: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = True
            await send(event)

        try:
            await self._app(scope, receive, watched)
        except SkerryError as error:
            if begun:
                raise
            await _respond(send, *self._render(error))


async def _respond(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    pairs.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def _config(
    app: AsgiApp,
    tls: TlsFiles | ssl.SSLContext | None,
    http: Literal["h11", "httptools"],
    websockets: Literal["wsproto", "none"],
    patience: Patience,
) -> uvicorn.Config:
    context = tls.context() if isinstance(tls, TlsFiles) else tls
    config = uvicorn.Config(
        app,
        http=patient(patience) if http == "httptools" else http,
        ws=websockets,
        interface="asgi3",
        lifespan="auto",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        limit_concurrency=CONNECTIONS_MAX,
    )
    config.load()
    config.ssl = context
    if context is not None:
        config.http_protocol_class = _showing_peer(config.http_protocol_class)
        if config.ws_protocol_class is not None:
            config.ws_protocol_class = _showing_peer(config.ws_protocol_class)
    return config


def _showing_peer(protocol: type[asyncio.Protocol]) -> type[asyncio.Protocol]:
    """Makes uvicorn's protocols put asyncio's ``ssl_object`` among the extensions of every scope."""

    def make(*given: Any, **named: Any) -> Any:
        made = cast("Any", protocol)(*given, **named)
        app = made.app

        async def showing(scope: Scope, receive: Receive, send: Send) -> None:
            secured = made.transport.get_extra_info("ssl_object")
            scope.setdefault("extensions", {})["ssl_object"] = secured
            await app(scope, receive, send)

        made.app = showing
        return made

    return cast("type[asyncio.Protocol]", make)


async def _wait_until_up(server: _Server, task: asyncio.Task[None]) -> None:
    up = asyncio.create_task(server.up.wait())
    try:
        await asyncio.wait({up, task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        up.cancel()
        if not server.up.is_set():
            task.cancel()
    if task.done():
        await task
        raise _not_started()


def _not_started() -> Unavailable:
    return Unavailable("the application did not start", hint="the log says why")


def _bind_tcp(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _not_bound(f"{host}:{port}", error) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise _not_bound(f"{host}:{port}", error) from error
    return listening


def _bind_unix(path: Path, mode: int) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_socket() and not _answers(path):
            path.unlink()
        listening.bind(os.fspath(path))
        path.chmod(mode)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise _not_bound(str(path), error) from error
    return listening


def _answers(path: Path) -> bool:
    """Whether somebody serves there; a socket file that a crash left behind refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(os.fspath(path)) == 0


def _not_bound(place: str, error: OSError) -> Unavailable:
    hints = {
        errno.EADDRINUSE: "another process serves there; stop it or choose another port",
        errno.EACCES: "ports below 1024 and other people's folders need more rights; choose another",
        errno.EADDRNOTAVAIL: "that address is not one of this machine's",
    }
    hint = hints.get(error.errno or 0, "choose another address")
    return Unavailable(f"cannot listen on {place}: {error.strerror or error}", hint=hint, address=place)
