"""A real server and real clients on the loopback interface, for tests."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from skerry.clock import Clock, SystemClock
from skerry.mqtt.client import Client
from skerry.mqtt.link import Limits, Link
from skerry.mqtt.packets import ConnAck, Connect, Publish, Will
from skerry.mqtt.server import Listener, serve

Store = Callable[[Publish], Awaitable[None] | None]


class Recorder:
    """A handler that takes everybody and notes what happens."""

    def __init__(self, store: Store = lambda packet: None, answer: ConnAck | None = None) -> None:
        self.store = store
        self.answer = answer or ConnAck(False)
        self.admit = asyncio.Event()
        self.admit.set()
        self.links: dict[str, Link] = {}
        self.published_packets: list[Publish] = []
        self.ended: list[tuple[str, str, Will | None]] = []

    async def connected(self, link: Link, packet: Connect) -> ConnAck:
        await self.admit.wait()
        if self.answer.code == 0:
            self.links[packet.client_id] = link
        return self.answer

    def published(self, link: Link, packet: Publish) -> Awaitable[None] | None:
        self.published_packets.append(packet)
        return self.store(packet)

    async def subscribed(self, link: Link, filters: Sequence[tuple[str, int]]) -> Sequence[int]:
        return [min(qos, 1) for _, qos in filters]

    async def unsubscribed(self, link: Link, filters: Sequence[str]) -> None:
        pass

    def disconnected(self, link: Link, reason: str, will: Will | None) -> None:
        self.ended.append((link.client_id, reason, will))


@asynccontextmanager
async def listening(
    handler: Recorder,
    *,
    tls: ssl.SSLContext | None = None,
    clock: Clock | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Listener]:
    listener = await serve(handler, "127.0.0.1", 0, tls, clock=clock or SystemClock(), limits=limits)
    try:
        yield listener
    finally:
        await listener.close()


@asynccontextmanager
async def connected(
    listener: Listener,
    client_id: str = "d",
    on_publish: Store = lambda packet: None,
    *,
    connect: Connect | None = None,
    tls: ssl.SSLContext | None = None,
    clock: Clock | None = None,
    in_flight_max: int = 100,
) -> AsyncIterator[Client]:
    client = await Client.open(
        "127.0.0.1",
        listener.port,
        tls,
        connect or Connect(client_id),
        on_publish,
        clock=clock or SystemClock(),
        server_hostname="hub.test" if tls else None,
        in_flight_max=in_flight_max,
    )
    try:
        yield client
    finally:
        await client.close()


async def eventually(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Return once ``condition`` holds; fail after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
