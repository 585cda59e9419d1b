"""The AMQP listener under clients that stall, flood or never read: each is bounded, nobody else notices."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from skerry.amqp.connection import Connection
from skerry.amqp.events import Attached, Event, Opened
from skerry.amqp.frames import AMQP_HEADER, FRAME_BYTES_MAX, encode_frame
from skerry.amqp.performatives import SENDER, Attach, Begin, Detach, Open
from skerry.amqp.stream import Limits, Listener, Wire, serve
from tests.support.sim_clock import SimClock
from tests.unit.mqtt.ends import eventually

OPEN = AMQP_HEADER + encode_frame(Open("test"))
SMALL = Limits(connections_max=3, write_buffer_bytes_max=256 * 1024)


class Quiet:
    """Lets everybody in and allows every link; ``wires`` are those that opened."""

    def __init__(self) -> None:
        self.wires: list[Wire] = []

    def authenticate(self, wire: Wire, mechanism: str, answer: bytes) -> bool:
        return True

    def happened(self, wire: Wire, event: Event) -> None:
        if isinstance(event, Opened):
            self.wires.append(wire)
        elif isinstance(event, Attached):
            wire.connection.accept(event.link)


@asynccontextmanager
async def listening(speed: float = 1) -> AsyncIterator[tuple[Listener, Quiet]]:
    handler, clock = Quiet(), SimClock(speed)
    listener = await serve(handler, "127.0.0.1", 0, None, clock=clock, container="hub", limits=SMALL)
    try:
        yield listener, handler
    finally:
        await listener.close()


@asynccontextmanager
async def dialled(listener: Listener) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with_errors = await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        assert all(one is None or isinstance(one, OSError) for one in with_errors)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server ends the connection."""
    async with asyncio.timeout(10):
        return await reader.read()


async def serves(listener: Listener) -> bool:
    """Whether a well-behaved client gets its answer."""
    async with dialled(listener) as (reader, writer):
        writer.write(OPEN)
        async with asyncio.timeout(10):
            return (await reader.readexactly(len(AMQP_HEADER))) == AMQP_HEADER


async def test_who_says_nothing_or_never_opens_is_let_go() -> None:
    async with listening(500) as (listener, _):
        for beginning in (b"", AMQP_HEADER[:5], AMQP_HEADER):
            async with dialled(listener) as (reader, writer):
                writer.write(beginning)
                await rest(reader)


async def test_who_opened_and_falls_silent_is_let_go() -> None:
    async with listening(300) as (listener, _), dialled(listener) as (reader, writer):
        writer.write(OPEN)
        assert b"idle for too long" in await rest(reader)


async def test_a_giant_frame_is_refused_by_its_announcement() -> None:
    async with listening() as (listener, _):
        for size in (FRAME_BYTES_MAX + 1, 2**32 - 1):
            async with dialled(listener) as (reader, writer):
                writer.write(OPEN + size.to_bytes(4, "big") + b"\x02\x00\x00\x00")
                assert b"amqp:connection:framing-error" in await rest(reader)
        assert await serves(listener)


async def test_more_connections_than_the_bound_are_told_so() -> None:
    async with listening() as (listener, handler):
        async with dialled(listener) as first, dialled(listener) as second, dialled(listener) as third:
            for _, writer in (first, second, third):
                writer.write(OPEN)
            await eventually(lambda: len(handler.wires) == SMALL.connections_max)
            async with dialled(listener) as (reader, _):
                await rest(reader)
            assert all(wire.connection.is_open for wire in handler.wires)
        assert await serves(listener)


async def test_who_asks_without_end_and_never_reads_is_cut() -> None:
    async with listening() as (listener, handler):
        # Each is answered with its own long name.
        link = encode_frame(Attach("x" * 30_000, 0, SENDER)) + encode_frame(Detach(0, closed=True))
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(client, ("127.0.0.1", listener.port))
            await loop.sock_sendall(client, OPEN + encode_frame(Begin(next_outgoing_id=0)))
            await eventually(lambda: len(handler.wires) == 1)
            sent = 0
            try:
                async with asyncio.timeout(20):
                    while True:
                        await loop.sock_sendall(client, link)
                        sent += 1
            except (ConnectionResetError, BrokenPipeError):
                pass
            assert sent > SMALL.write_buffer_bytes_max // 30_000
            await asyncio.wait_for(handler.wires[0].gone(), 10)
        assert await serves(listener)


def test_the_client_at_the_other_end_is_as_strict() -> None:
    client = Connection("test", 0.0)
    client.receive((2**31).to_bytes(4, "big") + b"\x02\x00\x00\x00", 0.0)
    assert client.is_closed
