"""The HTTP server and its error middleware."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
import uvloop

from skerry.clock import SystemClock
from skerry.errors import NotFound, SkerryError, Unavailable
from skerry.service.certificates import Authority
from skerry.service.files import write_atomic
from skerry.service.http import ErrorMiddleware, HttpServer, Receive, Scope, Send
from skerry.service.tls import TlsFiles, client_context


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """``/missing`` fails, ``/late`` fails after the response began, ``/slow`` takes 0.3 s, others greet."""
    assert scope["type"] == "http"
    if scope["path"] == "/missing":
        raise NotFound("no such device", hint="create it")
    if scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    if scope["path"] == "/hang":
        await asyncio.sleep(60)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    if scope["path"] == "/late":
        raise NotFound("too late")
    await send({"type": "http.response.body", "body": b"hi"})


@asynccontextmanager
async def running(*arguments: Any, **options: Any) -> AsyncIterator[HttpServer]:
    server = await HttpServer.start(*arguments, **options)
    try:
        yield server
    finally:
        await server.close(1)


@pytest.mark.parametrize("http", ["h11", "httptools"])
async def test_an_application_is_served_on_a_free_port(http: Literal["h11", "httptools"]) -> None:
    async with running(app, http=http) as server, httpx.AsyncClient() as client:
        response = await client.get(f"http://127.0.0.1:{server.port}/")
        assert (response.status_code, response.text) == (200, "hi")
        assert "server" not in response.headers


async def test_a_port_in_use_is_named_with_a_hint() -> None:
    async with running(app) as server:
        with pytest.raises(Unavailable, match=f"127.0.0.1:{server.port}") as caught:
            await HttpServer.start(app, port=server.port)
        assert "another process" in caught.value.hint
    async with running(app, port=server.port) as again:
        assert again.port == server.port


async def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(Unavailable, match=r"192\.0\.2\.1:0"):
        await HttpServer.start(app, host="192.0.2.1")


async def test_tls_is_served_from_files(tmp_path: Path) -> None:
    root = Authority.create("root", SystemClock())
    issued = root.issue_server("localhost", ["localhost"])
    files = TlsFiles(tmp_path / "s.pem", tmp_path / "s.key")
    write_atomic(files.certificate, issued.cert_chain_pem.encode())
    write_atomic(files.key, issued.key_pem.encode(), mode=0o600)
    trusting = client_context(root.root_pem)
    async with running(app, tls=files) as server, httpx.AsyncClient(verify=trusting) as client:
        assert (await client.get(f"https://localhost:{server.port}/")).text == "hi"


def mode(path: Path) -> int | None:
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else None


async def unix_round(path: Path) -> None:
    async with running(app, unix_path=path, unix_mode=0o600) as server:
        assert mode(path) == 0o600
        assert server.port == 0
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path))) as client:
            assert (await client.get("http://x/")).text == "hi"
        with pytest.raises(Unavailable, match=path.name):
            await HttpServer.start(app, unix_path=path)
    assert mode(path) is None


async def test_a_unix_socket_has_its_mode_and_goes_with_the_server(tmp_path: Path) -> None:
    await unix_round(tmp_path / "run" / "w.sock")


async def test_a_socket_file_left_by_a_crash_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "w.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(os.fspath(path))
    await unix_round(path)


def test_it_runs_on_uvloop_too(tmp_path: Path) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(unix_round(tmp_path / "w.sock"))
        runner.run(test_an_application_is_served_on_a_free_port("httptools"))


async def test_closing_lets_a_running_request_end() -> None:
    server = await HttpServer.start(app)
    async with httpx.AsyncClient() as client:
        request = asyncio.create_task(client.get(f"http://127.0.0.1:{server.port}/slow"))
        await asyncio.sleep(0.1)
        await server.close(5)
        assert (await request).text == "hi"
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{server.port}/")
    await server.wait_closed()


async def test_closing_does_not_wait_for_ever() -> None:
    server = await HttpServer.start(app)
    async with httpx.AsyncClient() as client:
        request = asyncio.create_task(client.get(f"http://127.0.0.1:{server.port}/hang"))
        await asyncio.sleep(0.1)
        await asyncio.wait_for(server.close(0.2), 5)
        with pytest.raises(httpx.HTTPError):
            (await request).raise_for_status()


async def test_an_application_that_fails_to_start_is_an_error_not_an_exit() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    with pytest.raises(Unavailable, match="did not start"):
        await HttpServer.start(broken)


def render(error: SkerryError) -> tuple[int, Mapping[str, str], bytes]:
    return 404, {"Content-Type": "application/json"}, json.dumps({"message": error.what}).encode()


async def test_errors_of_ours_become_responses() -> None:
    async with running(ErrorMiddleware(app, render)) as server, httpx.AsyncClient() as client:
        response = await client.get(f"http://127.0.0.1:{server.port}/missing")
        assert (response.status_code, response.json()) == (404, {"message": "no such device"})
        assert response.headers["content-type"] == "application/json"
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"http://127.0.0.1:{server.port}/late")
        assert (await client.get(f"http://127.0.0.1:{server.port}/")).text == "hi"
