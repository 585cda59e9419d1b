"""A hub of a hundred lines: the real protocol head over dictionaries, with a link that a test can cut."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from skerry.clock import Clock
from skerry.contract.chain import SEQUENCE_PROPERTY
from skerry.contract.credentials import SasToken, verify_token
from skerry.contract.message import Message
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.contract.names import Identity
from skerry.contract.topics import ConnectName
from skerry.contract.twin import merge
from skerry.errors import Unavailable
from skerry.mqtt.server import Listener, serve
from skerry.protocol.device_session import DeviceSession
from skerry.protocol.head import Head
from skerry.service.certificates import Authority
from skerry.service.tls import server_context
from tests.support.edge import HUB, key_of


class SmallHub:
    """Its memory outlives cuts; ``received`` holds every message in the order of arrival."""

    def __init__(self, clock: Clock, *, encrypted: bool = True) -> None:
        self._clock = clock
        self._encrypted = encrypted
        # Judges each message after it was received: False and its acknowledgement is lost with the link.
        self.acknowledges: Callable[[], bool] = lambda: True
        self.authority = Authority.create("Small hub CA", clock)
        issued = self.authority.issue_server(HUB, [HUB, "localhost"], ["127.0.0.1"])
        self._tls = server_context(issued.cert_chain_pem, issued.key_pem)
        self._head = Head(self, host_names=lambda host: host == HUB, clock=clock)
        self._listener: Listener | None = None
        self._subscriptions: dict[Identity, Mapping[str, int]] = {}
        self.received: list[tuple[Identity, Message]] = []
        self.desired: dict[Identity, dict[str, Any]] = defaultdict(dict)
        self.reported: dict[Identity, dict[str, Any]] = defaultdict(dict)
        self.versions: dict[tuple[Identity, str], int] = defaultdict(lambda: 1)
        self.port = 0

    async def open(self) -> None:
        """Be there, at the same port as before."""
        tls = self._tls if self._encrypted else None
        self._listener = await serve(self._head, "127.0.0.1", self.port, tls, clock=self._clock)
        self.port = self._listener.port

    cuts = 0

    async def cut(self) -> None:
        """Be gone; every connection ends."""
        if self._listener is not None:
            self.cuts += 1
            listener, self._listener = self._listener, None
            await listener.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SmallHub]:
        await self.open()
        try:
            yield self
        finally:
            await self.cut()

    @property
    def is_open(self) -> bool:
        return self._listener is not None

    @property
    def sessions(self) -> Mapping[Identity, DeviceSession]:
        return self._head.sessions

    async def set_desired(self, identity: Identity, patch: dict[str, Any]) -> None:
        self.desired[identity] = merge(self.desired[identity], patch)
        self.versions[identity, "desired"] += 1
        if (session := self._head.sessions.get(identity)) is not None:
            await session.send_desired(patch, self.versions[identity, "desired"])

    async def invoke(self, identity: Identity, name: str, payload: Any = None) -> MethodResponse:
        return await self._head.sessions[identity].invoke(MethodRequest(name, payload))

    def sequences(self, sender: Identity) -> list[int]:
        """The ledger's numbers of ``sender`` as they came, repetitions included."""
        return [
            int(message.properties[SEQUENCE_PROPERTY] or 0) for who, message in self.received if who == sender
        ]

    def bodies(self, sender: Identity) -> list[bytes]:
        """What ``sender`` sent, each number once, in the order of first arrival."""
        first: dict[str, bytes] = {}
        for who, message in self.received:
            if who == sender:
                first.setdefault(str(message.properties[SEQUENCE_PROPERTY]), message.body)
        return list(first.values())

    # protocol.head.Backend

    async def authenticate(
        self, name: ConnectName, password: str | None, certificates: Sequence[bytes]
    ) -> None:
        key = key_of(name.identity.module or name.identity.device)
        resources = [name.identity.resource(HUB)]
        verify_token(SasToken.parse(password or ""), [key], resources, self._clock.now().timestamp())

    async def load_subscriptions(self, identity: Identity) -> Mapping[str, int]:
        return self._subscriptions.get(identity, {})

    async def save_subscriptions(self, identity: Identity, subs: Mapping[str, int]) -> None:
        self._subscriptions[identity] = dict(subs)

    async def telemetry(self, sender: Identity, message: Message) -> None:
        self.received.append((sender, message))
        await asyncio.sleep(0)
        if not self.acknowledges():
            raise Unavailable("the acknowledgement is lost")

    async def twin(self, identity: Identity) -> dict[str, Any]:
        return {
            "desired": {**self.desired[identity], "$version": self.versions[identity, "desired"]},
            "reported": {**self.reported[identity], "$version": self.versions[identity, "reported"]},
        }

    async def patch_reported(self, identity: Identity, patch: dict[str, Any]) -> int:
        self.reported[identity] = merge(self.reported[identity], patch)
        self.versions[identity, "reported"] += 1
        return self.versions[identity, "reported"]

    def attached(self, session: DeviceSession) -> None:
        pass

    def detached(self, session: DeviceSession) -> None:
        pass
