"""What stands behind the edge hub's MQTT: its store, its twins, its sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from skerry.clock import Clock
from skerry.contract.message import Message
from skerry.contract.names import Identity
from skerry.contract.topics import ConnectName
from skerry.edge.hub.authority import Authority
from skerry.edge.hub.intake import Intake
from skerry.edge.hub.metrics import HubMetrics
from skerry.edge.hub.router import Router
from skerry.edge.hub.sessions import Sessions
from skerry.edge.hub.twins import Twins
from skerry.errors import SkerryError
from skerry.mqtt.outcome import settled
from skerry.protocol.device_session import DeviceSession
from skerry.store.documents import Documents

# Shorter than the patience of Microsoft's SDKs with a twin request (contract.md §1.4).
FIRST_TWIN_WAIT_S = 8.0


class EdgeBackend:
    """A protocol ``Backend``; the PUBACK follows once every endpoint's copy is on disk."""

    def __init__(
        self,
        *,
        authority: Authority,
        intake: Intake,
        twins: Twins,
        sessions: Sessions,
        subscriptions: Documents,
        router: Callable[[], Router],
        metrics: HubMetrics,
        look_for: Callable[[Identity], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._authority = authority
        self._intake = intake
        self._twins = twins
        self._sessions = sessions
        self._subscriptions = subscriptions
        self._router = router
        self._metrics = metrics
        self._look_for = look_for
        self._clock = clock
        self._forget: dict[DeviceSession, Callable[[], None]] = {}
        self._pushes: set[asyncio.Task[None]] = set()

    async def authenticate(
        self, name: ConnectName, password: str | None, certificates: Sequence[bytes]
    ) -> None:
        if not self._authority.knows(name.identity):
            await self._look_for(name.identity)
        try:
            self._authority.check(name.identity, password, certificates)
        except SkerryError as error:
            self._metrics.connect_failed(str(error.fields.get("reason", "refused")))
            raise

    async def load_subscriptions(self, identity: Identity) -> Mapping[str, int]:
        return dict(self._subscriptions.get(identity.client_id) or {})

    async def save_subscriptions(self, identity: Identity, subs: Mapping[str, int]) -> None:
        await self._subscriptions.put(identity.client_id, dict(subs))

    def telemetry(self, sender: Identity, message: Message) -> Awaitable[None]:
        self._metrics.received(sender, message)
        targets = self._router().destinations(sender, message)
        if not targets:
            self._metrics.no_route(sender, message)
            return settled()
        return self._intake.accept(sender, message, targets)

    async def twin(self, identity: Identity) -> dict[str, Any]:
        # A module that is new here asks before its twin has come from the hub.
        with self._metrics.twin_get(identity):
            await self._twins.wait_known(identity, FIRST_TWIN_WAIT_S, self._clock)
            return self._twins.view(identity)

    async def patch_reported(self, identity: Identity, patch: dict[str, Any]) -> int:
        with self._metrics.reported(identity):
            return await self._twins.patch_reported(identity, patch)

    def attached(self, session: DeviceSession) -> None:
        def desired(patch: dict[str, Any], version: int) -> None:
            push = asyncio.ensure_future(_push(session, patch, version))
            self._pushes.add(push)
            push.add_done_callback(self._pushes.discard)

        self._forget[session] = self._twins.on_desired(session.identity, desired)
        self._sessions.attached(session)

    def detached(self, session: DeviceSession) -> None:
        if (forget := self._forget.pop(session, None)) is not None:
            forget()
        self._sessions.detached(session)


async def _push(session: DeviceSession, patch: Mapping[str, Any], version: int) -> None:
    if session.is_open:
        await session.send_desired(patch, version)
