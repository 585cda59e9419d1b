"""A small real hub behind the head, and a network that can be cut, for tests."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from skerry.clock import Clock, SystemClock
from skerry.contract.credentials import SasToken, verify_token
from skerry.contract.message import Message
from skerry.contract.names import Identity
from skerry.contract.topics import ConnectName
from skerry.contract.twin import merge
from skerry.errors import NotAuthenticated, SkerryError
from skerry.mqtt.server import Listener, serve
from skerry.protocol.client import Backoff, DeviceClient, Endpoint
from skerry.protocol.head import DeviceSession, Head
from skerry.protocol.tokens import KeyTokens, TokenSource

HOST = "hub.test"
KEY = base64.b64encode(b"k" * 32).decode()
DEVICE = Identity.parse("d")
MODULE = Identity.parse("d/m")
FAST = Backoff(0.005, 0.05)


class SmallHub:
    """Backend that keeps everything in memory, and notes what it is told."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.messages: list[tuple[Identity, Message]] = []
        self.subscriptions: dict[Identity, Mapping[str, int]] = {}
        self.desired: dict[str, Any] = {"$version": 1}
        self.reported: dict[str, Any] = {"$version": 1}
        self.refuse: SkerryError | None = None
        self.refuse_twin: SkerryError | None = None
        self.log: list[str] = []
        self.store_delay_s = 0.0

    async def authenticate(
        self, name: ConnectName, password: str | None, certificates: Sequence[bytes]
    ) -> None:
        if self.refuse is not None:
            raise self.refuse
        if password is None:
            raise NotAuthenticated("no password")
        now = self._clock.now().timestamp()
        verify_token(SasToken.parse(password), [KEY], [name.identity.resource(HOST)], now)

    async def load_subscriptions(self, identity: Identity) -> Mapping[str, int]:
        return self.subscriptions.get(identity, {})

    async def save_subscriptions(self, identity: Identity, subs: Mapping[str, int]) -> None:
        self.subscriptions[identity] = subs

    async def telemetry(self, sender: Identity, message: Message) -> None:
        self.messages.append((sender, message))
        if self.store_delay_s:
            await asyncio.sleep(self.store_delay_s)

    async def twin(self, identity: Identity) -> dict[str, Any]:
        if self.refuse_twin is not None:
            raise self.refuse_twin
        return {"desired": self.desired, "reported": self.reported}

    async def patch_reported(self, identity: Identity, patch: dict[str, Any]) -> int:
        if self.refuse_twin is not None:
            raise self.refuse_twin
        version = int(self.reported["$version"]) + 1
        self.reported = {**merge(self.reported, patch), "$version": version}
        return version

    def attached(self, session: DeviceSession) -> None:
        self.log.append(f"+{session.identity.client_id}")

    def detached(self, session: DeviceSession) -> None:
        self.log.append(f"-{session.identity.client_id}")

    async def change_desired(self, head: Head, patch: dict[str, Any], identity: Identity = DEVICE) -> None:
        """What a service does to a twin; a device that is away hears nothing."""
        version = int(self.desired["$version"]) + 1
        self.desired = {**merge(self.desired, patch), "$version": version}
        session = head.sessions.get(identity)
        if session is not None:
            await session.send_desired(patch, version)

    @property
    def bodies(self) -> list[bytes]:
        return [message.body for _, message in self.messages]


class Hub:
    """A head that listens; it can stop and start on the same port."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.backend = SmallHub(self.clock)
        self.head = Head(self.backend, host_names=lambda name: name == HOST, clock=self.clock)
        self.port = 0
        self._listener: Listener | None = None

    async def start(self) -> None:
        self._listener = await serve(self.head, "127.0.0.1", self.port, None, clock=self.clock)
        self.port = self._listener.port

    async def stop(self) -> None:
        if self._listener is not None:
            await self._listener.close()
            self._listener = None
            await self.head.drain()

    def session(self, identity: Identity = DEVICE) -> DeviceSession:
        return self.head.sessions[identity]

    def client(
        self,
        identity: Identity = DEVICE,
        *,
        port: int | None = None,
        credentials: TokenSource | None = None,
        clock: Clock | None = None,
        in_flight_max: int = 100,
    ) -> DeviceClient:
        return DeviceClient(
            identity,
            HOST,
            Endpoint("127.0.0.1", port or self.port, None),
            credentials or KeyTokens(KEY, self.clock),
            clock=clock or self.clock,
            backoff=FAST,
            in_flight_max=in_flight_max,
        )


@asynccontextmanager
async def running_hub(clock: Clock | None = None) -> AsyncIterator[Hub]:
    hub = Hub(clock)
    await hub.start()
    try:
        yield hub
    finally:
        await hub.stop()


@asynccontextmanager
async def started(client: DeviceClient) -> AsyncIterator[DeviceClient]:
    await client.start()
    try:
        async with asyncio.timeout(5):
            await client.wait_connected()
        yield client
    finally:
        await client.stop()


class Wire:
    """A TCP proxy: a network that can be cut at any byte, or go silent."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.budget: int | None = None
        self.silent = False
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        if self._pumps:
            await asyncio.wait(self._pumps)
        await self._server.wait_closed()
        # Transports close in the turn after their connections are lost.
        await asyncio.sleep(0.01)

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(far_writer)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.ensure_future(self._pump(source, sink))
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(4096):
                if self.silent:
                    continue
                if self.budget is not None:
                    data, self.budget = data[: self.budget], self.budget - len(data)
                    if self.budget <= 0:
                        sink.write(data)
                        await sink.drain()
                        self.budget = None
                        self.cut()
                        break
                sink.write(data)
                await sink.drain()
        except OSError:
            return
        finally:
            sink.close()
            self._writers.discard(sink)


@asynccontextmanager
async def wire_to(hub: Hub) -> AsyncIterator[Wire]:
    wire = Wire(hub.port)
    await wire.start()
    try:
        yield wire
    finally:
        await wire.stop()
