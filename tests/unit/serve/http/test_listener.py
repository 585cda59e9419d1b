"""Clients of every kind over real sockets: quick, slow, greedy, rude, gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.clock import SystemClock
from skerry.errors import Unavailable
from skerry.serve.http.limits import Limits
from skerry.serve.http.listener import HttpListener
from skerry.serve.http.message import Answer, Request, Response

QUICK = Limits(
    header_bytes_max=2000, body_bytes_max=100_000, header_s=0.2, stall_s=0.2, idle_s=0.2, linger_s=0.2
)
GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


def post(body: bytes, path: str = "/", extra: bytes = b"") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n".encode()
        + extra
        + b"\r\n"
        + body
    )


async def slowly(request: Request) -> Response:
    await asyncio.sleep(0.05)
    return Response(200, request.body or b"slow", "text/plain")


def echo(request: Request) -> Answer:
    """The body back; ``/slow`` later, ``/fail`` not at all, ``/big`` more than a socket's buffer."""
    if request.path == "/slow":
        return slowly(request)
    if request.path == "/fail":
        raise RuntimeError("a mistake of ours")
    if request.path == "/big":
        return Response(200, b"x" * 20_000_000)
    return Response(200, request.body or request.path.encode(), "text/plain")


@contextlib.asynccontextmanager
async def listening(limits: Limits = QUICK) -> AsyncIterator[HttpListener]:
    listener = await HttpListener.start(echo, clock=SystemClock(), limits=limits)
    try:
        yield listener
    finally:
        await listener.close(1.0)
        assert not listener.connections
        assert listener.held_bytes == 0


async def talk(port: int, *pieces: bytes, end: bool = True, pause_s: float = 0.0) -> bytes:
    """Send the pieces; all that comes back until the server closes (asked to after the last piece)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        if end:
            writer.write_eof()
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def statuses(received: bytes) -> list[int]:
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


async def test_a_kept_connection_is_answered_again_and_again() -> None:
    async with listening() as listener:
        received = await talk(listener.port, GET, GET, post(b"body"), pause_s=0.02)
    assert statuses(received) == [200, 200, 200]
    assert received.endswith(b"body")
    assert b"date: " in received


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with listening() as listener:
        received = await talk(listener.port, post(b"one", "/slow") + post(b"two") + post(b"three", "/slow"))
    bodies = [part.partition(b"\r\n\r\n")[2] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert bodies == [b"one", b"two", b"three"]


async def test_a_flood_of_pipelined_requests_is_answered_whole() -> None:
    async with listening() as listener:
        received = await talk(listener.port, GET * 5000)
    assert statuses(received) == [200] * 5000


async def test_a_body_in_chunks_is_put_together() -> None:
    start = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with listening() as listener:
        received = await talk(
            listener.port, start, b"3\r\nabc\r\n", b"2;x=y\r\nde\r\n0\r\n\r\n", pause_s=0.02
        )
    assert received.endswith(b"\r\n\r\nabcde")


async def test_who_expects_a_word_before_the_body_gets_it_first() -> None:
    head, _, body = post(b"body", extra=b"Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    async with listening() as listener:
        received = await talk(listener.port, head + b"\r\n\r\n", body, pause_s=0.05)
    assert statuses(received) == [100, 200]
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")


async def test_a_body_that_is_too_large_is_refused_before_it_is_sent() -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100001\r\nExpect: 100-continue\r\n\r\n"
    async with listening() as listener:
        received = await talk(listener.port, head, end=False)
    assert statuses(received) == [413]
    assert b"connection: close" in received


async def test_who_sends_a_body_that_is_too_large_anyway_still_reads_why() -> None:
    async with listening() as listener:
        with contextlib.suppress(ConnectionError):
            assert statuses(await talk(listener.port, post(b"x" * 3_000_000), end=False)) == [413]
        assert statuses(await talk(listener.port, GET)) == [200]


async def test_head_has_the_headers_of_get_and_no_body() -> None:
    async with listening() as listener:
        received = await talk(listener.port, GET.replace(b"GET", b"HEAD"))
    assert b"content-length: 2" in received
    assert received.endswith(b"\r\n\r\n")


async def test_http_1_0_and_connection_close_end_the_connection() -> None:
    async with listening() as listener:
        old = await talk(listener.port, b"GET /a HTTP/1.0\r\n\r\n" + GET, end=False)
        closing = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        closed = await talk(listener.port, closing + GET, end=False)
    assert (statuses(old), statuses(closed)) == ([200], [200])
    assert b"connection: close" in closed


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param([b"POST / HTTP/1.1\r\n", b"Ho", b"st: h\r\n"], [408], id="headers trickle"),
        pytest.param([b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", b"ab"], [408], id="body"),
        pytest.param([b""], [], id="nothing at all"),
        pytest.param([GET], [200], id="idle after a request"),
    ],
)
async def test_who_takes_too_long_is_let_go(pieces: list[bytes], expected: list[int]) -> None:
    async with listening() as listener:
        assert statuses(await talk(listener.port, *pieces, end=False, pause_s=0.05)) == expected


async def test_headers_that_keep_trickling_do_not_keep_the_connection() -> None:
    async with listening() as listener:
        pieces = [b"GET / HTTP/1.1\r\n", *[b"a: b\r\n"] * 15]
        with contextlib.suppress(ConnectionError):
            assert statuses(await talk(listener.port, *pieces, end=False, pause_s=0.1)) == [408]


async def test_who_does_not_take_the_answer_is_cut_off_and_stalls_nobody() -> None:
    async with listening(replace(QUICK, write_s=0.2)) as listener:
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1)
        writer.write(GET.replace(b"/a", b"/big"))
        assert statuses(await talk(listener.port, GET)) == [200]
        async with asyncio.timeout(5):
            while listener.connections:
                await asyncio.sleep(0.05)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_client_that_goes_away_takes_its_request_with_it() -> None:
    async with listening() as listener:
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(post(b"gone", "/slow"))
        await asyncio.sleep(0.02)
        writer.transport.abort()
        assert statuses(await talk(listener.port, GET)) == [200]


async def test_too_many_connections_are_told_to_come_back() -> None:
    async with listening(replace(QUICK, connections_max=1, idle_s=5.0)) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(GET)
        await reader.readuntil(b"/a")
        refused = await talk(listener.port, GET, end=False)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.05)
        accepted = await talk(listener.port, GET)
    assert (statuses(refused), statuses(accepted)) == ([503], [200])
    assert b"retry-after: 1" in refused


async def test_bodies_held_at_once_are_bounded() -> None:
    async with listening(replace(QUICK, held_bytes_max=60_000, stall_s=5.0)) as listener:
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(post(b"x" * 90_000)[:50_000])
        await asyncio.sleep(0.05)
        refused = await talk(listener.port, post(b"x" * 90_000)[:50_000], end=False)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.05)
        accepted = await talk(listener.port, post(b"x" * 50_000))
    assert (statuses(refused), statuses(accepted)) == ([503], [200])


async def test_a_mistake_of_ours_is_a_500_and_no_end(caplog: pytest.LogCaptureFixture) -> None:
    async with listening() as listener:
        received = await talk(listener.port, GET.replace(b"/a", b"/fail"), GET)
    assert statuses(received) == [500, 200]
    assert "a mistake of ours" in caplog.text


async def test_what_a_client_sent_cannot_become_a_header_of_its_own() -> None:
    def handler(_request: Request) -> Answer:
        return Response(200, headers=(("x-echo", "a\r\nset-cookie: b"),))

    listener = await HttpListener.start(handler, clock=SystemClock())
    received = await talk(listener.port, GET)
    await listener.close()
    assert b"\r\nset-cookie" not in received


async def test_closing_lets_a_running_request_end_and_takes_no_other() -> None:
    listener = await HttpListener.start(echo, clock=SystemClock())
    running = asyncio.create_task(talk(listener.port, post(b"last", "/slow"), end=False))
    idle = asyncio.create_task(talk(listener.port, GET, end=False))
    await asyncio.sleep(0.03)
    await listener.close(2.0)
    assert (await running).endswith(b"last")
    assert statuses(await idle) == [200]
    with pytest.raises(ConnectionError):
        await talk(listener.port, GET)


async def test_a_request_that_does_not_end_is_cut_off_after_the_grace() -> None:
    async def never(_request: Request) -> Response:
        await asyncio.Event().wait()
        return Response(200)

    listener = await HttpListener.start(never, clock=SystemClock())
    running = asyncio.create_task(talk(listener.port, GET, end=False))
    await asyncio.sleep(0.03)
    async with asyncio.timeout(2):
        await listener.close(0.05)
    with contextlib.suppress(ConnectionError):
        assert await running == b""


async def test_a_taken_port_is_named() -> None:
    async with listening() as listener:
        with pytest.raises(Unavailable, match=str(listener.port)):
            await HttpListener.start(echo, clock=SystemClock(), port=listener.port)


async def test_two_listeners_share_a_port_when_both_say_so() -> None:
    first = await HttpListener.start(echo, clock=SystemClock(), reuse_port=True)
    second = await HttpListener.start(echo, clock=SystemClock(), port=first.port, reuse_port=True)
    assert statuses(await talk(first.port, GET)) == [200]
    await first.close()
    assert statuses(await talk(second.port, GET)) == [200]
    await second.close()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.just(GET), st.just(post(b"ab")), st.binary(max_size=50)), max_size=6))
def test_after_any_noise_the_next_client_is_served(pieces: list[bytes]) -> None:
    async def check() -> None:
        async with listening() as listener:
            with contextlib.suppress(ConnectionError):
                received = await talk(listener.port, *pieces)
                assert all(status in (200, 400, 431, 505, 501, 417) for status in statuses(received))
            last = await talk(listener.port, post(b"last"))
            assert json.loads(b'"' + last[-4:] + b'"') == "last"

    asyncio.run(check())
