"""A hub that keeps everything in memory behind the real protocol head, over real TLS."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from skerry.clock import SystemClock
from skerry.contract.message import Message
from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.contract.topics import ConnectName
from skerry.contract.twin import merge
from skerry.mqtt.server import Listener, serve
from skerry.protocol.client import DeviceClient, Endpoint
from skerry.protocol.head import DeviceSession, Head
from skerry.protocol.tokens import KeyTokens
from skerry.service.certificates import Authority
from skerry.service.tls import client_context, server_context

HOST = "hub.example"
KEY = base64.b64encode(b"k" * 32).decode()
CNN = Identity(DeviceId("edge1"), ModuleId("cnn"))
PATIENCE_S = 10.0


class MemoryHub:
    """The backend; tests read what arrived and hold back what should wait."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.reported: dict[str, Any] = {}
        self.desired: dict[str, Any] = {}
        self.version = 1
        self.session: DeviceSession | None = None
        self.accepting = asyncio.Event()
        self.accepting.set()
        self._subscriptions: dict[Identity, Mapping[str, int]] = {}
        self._changed = asyncio.Event()

    async def authenticate(
        self, name: ConnectName, password: str | None, certificates: Sequence[bytes]
    ) -> None:
        """Everybody may."""

    async def load_subscriptions(self, identity: Identity) -> Mapping[str, int]:
        return self._subscriptions.get(identity, {})

    async def save_subscriptions(self, identity: Identity, subs: Mapping[str, int]) -> None:
        self._subscriptions[identity] = subs

    async def telemetry(self, sender: Identity, message: Message) -> None:
        self.messages.append(message)
        self._changed.set()
        await self.accepting.wait()

    async def twin(self, identity: Identity) -> dict[str, Any]:
        return {"desired": {**self.desired, "$version": self.version}, "reported": {"$version": 1}}

    async def patch_reported(self, identity: Identity, patch: dict[str, Any]) -> int:
        self.reported = merge(self.reported, patch)
        self._changed.set()
        return 2

    def attached(self, session: DeviceSession) -> None:
        self.session = session
        session.on_subscriptions = lambda _: self._changed.set()
        self._changed.set()

    def detached(self, session: DeviceSession) -> None:
        self.session = None if self.session is session else self.session
        self._changed.set()

    async def desire(self, patch: dict[str, Any]) -> None:
        """Change the desired properties and tell the module."""
        self.desired, self.version = merge(self.desired, patch), self.version + 1
        if self.session is not None:
            await self.session.send_desired(patch, self.version)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that happens here makes the condition true."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                if condition():
                    return
                await self._changed.wait()

    async def listener(self, kind: str = "inputs") -> DeviceSession:
        """The session of the module, once it listens to this kind of message."""

        def listens() -> bool:
            session = self.session
            return session is not None and any(kind in name for name in session.filters)

        await self.until(listens)
        assert self.session is not None
        return self.session


@dataclass(frozen=True)
class RunningHub:
    """Where the hub listens, and what makes a client of the module ``CNN`` for it."""

    listener: Listener
    port: int
    root_pem: str
    make_client: Callable[[], DeviceClient]


@asynccontextmanager
async def running_hub(hub: MemoryHub) -> AsyncIterator[RunningHub]:
    """The hub behind TLS on a port of its own."""
    clock = SystemClock()
    authority = Authority.create("test root", clock)
    issued = authority.issue_server("gateway", dns=["localhost"], ips=["127.0.0.1"])
    tls = server_context(issued.cert_chain_pem, issued.key_pem)
    listener = await serve(Head(hub, clock=clock), "127.0.0.1", 0, tls, clock=clock)

    def client() -> DeviceClient:
        endpoint = Endpoint("127.0.0.1", listener.port, client_context(authority.root_pem))
        return DeviceClient(CNN, HOST, endpoint, KeyTokens(KEY, clock), clock=clock)

    try:
        yield RunningHub(listener, listener.port, authority.root_pem, client)
    finally:
        await listener.close()
