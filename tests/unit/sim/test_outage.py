"""A link carries bytes, then none, then bytes again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from skerry.errors import Unavailable
from skerry.sim.outage import LinkProxy, PortMapping


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A server that says everything back, in capitals."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data.upper())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def linked() -> AsyncIterator[LinkProxy]:
    async with echo() as port:
        proxy = await LinkProxy.start([PortMapping("127.0.0.1", port), PortMapping("127.0.0.1", port)])
        try:
            yield proxy
        finally:
            await proxy.close()


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def say(port: int, text: bytes) -> bytes:
    async with connection(port) as (reader, writer):
        writer.write(text)
        writer.write_eof()
        return await reader.read()


async def test_every_port_carries_both_ways_and_passes_the_end_on() -> None:
    async with linked() as proxy:
        big = b"x" * 1_000_000
        assert [await say(port, b"hello") for port in proxy.ports] == [b"HELLO"] * 2
        assert await say(proxy.ports[0], big) == big.upper()
        assert proxy.carried_bytes == 2 * (5 + 5 + len(big))


async def test_a_cut_ends_connections_and_refuses_new_ones_until_healed() -> None:
    async with linked() as proxy, connection(proxy.ports[0]) as (reader, writer):
        writer.write(b"a")
        assert await reader.read(1) == b"A"
        await proxy.cut()
        assert await reader.read() == b""
        async with connection(proxy.ports[0]) as (refused, _):
            assert await refused.read() == b""
        assert (proxy.is_cut, proxy.refused) == (True, 1)
        await proxy.heal()
        assert await say(proxy.ports[0], b"back") == b"BACK"


async def test_a_black_hole_keeps_connections_and_carries_nothing() -> None:
    async with linked() as proxy, connection(proxy.ports[0]) as (reader, writer):
        writer.write(b"a")
        assert await reader.read(1) == b"A"
        await proxy.cut("blackhole")
        carried = proxy.carried_bytes
        writer.write(b"lost")
        async with connection(proxy.ports[0]) as (held, _):
            for waiting in (reader, held):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(waiting.read(1), 0.1)
            assert proxy.carried_bytes == carried
            await proxy.heal()
            assert await held.read() == b""
        assert await reader.read() == b""
        assert await say(proxy.ports[0], b"back") == b"BACK"


async def test_a_target_that_is_not_there_ends_the_connection() -> None:
    async with echo() as port:
        pass
    proxy = await LinkProxy.start([PortMapping("127.0.0.1", port)])
    assert await say(proxy.ports[0], b"anyone?") == b""
    await proxy.close()


async def test_a_taken_port_is_unavailable() -> None:
    async with echo() as port:
        with pytest.raises(Unavailable):
            await LinkProxy.start([PortMapping("127.0.0.1", port, port=port)])
