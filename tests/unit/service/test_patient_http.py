"""Clients that say little, slowly or too much are let go; everybody else is served meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from skerry.service.http import HttpServer
from skerry.service.patient_http import Patience

SHORT = Patience(header_s=0.3, body_stall_s=0.3, header_bytes=2048)
# Far longer than SHORT: who is cut off by then was cut off, and not by chance.
WAIT_S = 10.0
GOOD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"


async def length(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


@asynccontextmanager
async def serving(patience: Patience = SHORT) -> AsyncIterator[int]:
    server = await HttpServer.start(
        Starlette(routes=[Route("/", length, methods=["POST"])]), patience=patience
    )
    try:
        yield server.port
    finally:
        await server.close(1.0)


async def talk(port: int, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """What the server says before it closes; each piece is sent after a pause."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(WAIT_S):
            while part := await reader.read(4096):
                said += part
    except ConnectionError:
        pass
    finally:
        writer.close()
    return said


@pytest.mark.parametrize(
    "pieces",
    [(b"",), (b"POST / HT",), (b"POST / HTTP/1.1\r\n", *(b"A: b\r\n" for _ in range(40)))],
    ids=["says nothing", "stops in a line", "trickles headers for ever"],
)
async def test_headers_that_do_not_end_are_not_waited_for(pieces: tuple[bytes, ...]) -> None:
    async with serving() as port:
        slow = asyncio.create_task(talk(port, *pieces, pause_s=0.05))
        assert (await ask(port)).endswith(b"2")
        assert await slow == b""


async def test_a_body_that_stops_is_not_waited_for() -> None:
    async with serving() as port:
        assert await talk(port, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhi") == b""


async def test_a_body_that_keeps_coming_slowly_is_taken() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 8\r\n\r\n"
    async with serving() as port:
        said = await talk(port, head, *(b"x" for _ in range(8)), pause_s=0.1)
        assert said.endswith(b"8")


async def test_endless_headers_are_refused_before_they_fill_the_memory() -> None:
    async with serving(Patience(header_bytes=2048)) as port:
        said = await talk(port, b"POST / HTTP/1.1\r\nX: ", b"a" * 1024, b"a" * 2048, pause_s=0.1)
        assert said.startswith(b"HTTP/1.1 431 ")


async def test_a_kept_connection_is_served_again_and_watched_again() -> None:
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for _ in range(3):
                writer.write(GOOD)
                answer = await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(1)
                assert answer.startswith(b"HTTP/1.1 200 ")
            writer.write(b"POST / HT")
            async with asyncio.timeout(WAIT_S):
                assert await reader.read() == b""
        except ConnectionResetError:
            pass  # it was aborted, which is the point
        finally:
            writer.close()


async def ask(port: int) -> bytes:
    return await talk(port, GOOD.replace(b"Host: a", b"Host: a\r\nConnection: close"))
