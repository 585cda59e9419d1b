"""The connections that end in this process: ``Owners`` of a hub that is one process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from skerry.clock import Clock, iso
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.contract.names import DeviceId, Identity
from skerry.errors import TimedOut, Unavailable
from skerry.hub.owners import Presence, offline
from skerry.protocol.device_session import DeviceSession, Kind

log = logging.getLogger(__name__)


class Connections:
    """The sessions of this hub process, and a way to wait for one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[Identity, DeviceSession] = {}
        self._presence: dict[Identity, Presence] = {}
        self._changed = asyncio.Event()
        # Told of every session that began or listens to something else now.
        self.on_change: Callable[[DeviceSession], None] | None = None
        # Told of every device with something new in its queue.
        self.on_queued: Callable[[DeviceId], None] | None = None
        # Told of everyone who came or went.
        self.on_move: Callable[[Identity, Presence], None] | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    def attach(self, session: DeviceSession) -> Presence:
        """A session began; it replaces an older one of the same identity."""
        session.on_subscriptions = self._subscribed
        self._sessions[session.identity] = session
        log.info("%s connected", session.identity.client_id)
        self._subscribed(session)
        return self._move(session.identity, connected=True)

    def detach(self, session: DeviceSession) -> Presence | None:
        """A session ended; ``None`` when a newer one of the same identity is there already."""
        if self._sessions.get(session.identity) is not session:
            return None
        del self._sessions[session.identity]
        log.info("%s disconnected", session.identity.client_id)
        return self._move(session.identity, connected=False)

    def active(self, identity: Identity) -> None:
        """The identity was heard of just now."""
        known = self._presence.get(identity)
        if known is not None:
            self._presence[identity] = replace(known, last_activity=iso(self._clock.now()))

    async def invoke(self, identity: Identity, request: MethodRequest) -> MethodResponse:
        session = await self.wait_for(identity, "methods", request.connect_timeout_s)
        if session is None:
            raise offline(identity)
        try:
            return await session.invoke(request)
        except Unavailable as exc:
            raise TimedOut(f"{identity.client_id} went offline before it answered {request.name!r}") from exc

    async def tell_desired(self, identity: Identity, patch: Mapping[str, Any], version: int) -> None:
        session = self._sessions.get(identity)
        if session is not None:
            await session.send_desired(patch, version)

    def queued(self, device: DeviceId) -> None:
        if self.on_queued is not None:
            self.on_queued(device)

    def is_connected(self, identity: Identity) -> bool:
        return identity in self._sessions

    def get(self, identity: Identity) -> DeviceSession | None:
        """The identity's session, or ``None`` while it is not connected."""
        return self._sessions.get(identity)

    def presence(self, identity: Identity) -> Presence | None:
        return self._presence.get(identity)

    def presences(self) -> dict[Identity, Presence]:
        return dict(self._presence)

    def connected_devices(self) -> int:
        return sum(identity.module is None for identity in self._sessions)

    async def wait_for(self, identity: Identity, kind: Kind, timeout_s: float) -> DeviceSession | None:
        """The identity's session once it is subscribed to ``kind``; ``None`` after ``timeout_s`` seconds."""
        deadline = self._clock.monotonic() + timeout_s
        while True:
            changed = self._changed
            session = self._sessions.get(identity)
            if session is not None and session.subscribed_to(kind):
                return session
            left = deadline - self._clock.monotonic()
            if left <= 0:
                return None
            try:
                await asyncio.wait_for(changed.wait(), left)
            except TimeoutError:
                return None

    def close(self, identity: Identity, reason: str) -> None:
        session = self._sessions.get(identity)
        if session is not None:
            session.close(reason)

    def forget(self, identity: Identity) -> None:
        self.close(identity, "identity deleted")
        self._presence.pop(identity, None)

    def _subscribed(self, session: DeviceSession) -> None:
        self._announce()
        if self.on_change is not None:
            self.on_change(session)

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _move(self, identity: Identity, *, connected: bool) -> Presence:
        now = iso(self._clock.now())
        presence = Presence(connected=connected, updated=now, last_activity=now)
        self._presence[identity] = presence
        if self.on_move is not None:
            self.on_move(identity, presence)
        return presence
