"""Who is connected to the edge hub, and what they listen to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType

from skerry.contract.names import Identity
from skerry.protocol.device_session import DeviceSession, Kind

# Told of an identity that came (True) or went (False).
Listener = Callable[[Identity, bool], None]


class Sessions:
    """The current session of each identity; waits for one that listens."""

    def __init__(self) -> None:
        self._sessions: dict[Identity, DeviceSession] = {}
        self._changed: dict[Identity, asyncio.Event] = {}
        self._listeners: list[Listener] = []

    @property
    def current(self) -> Mapping[Identity, DeviceSession]:
        return MappingProxyType(self._sessions)

    def on_change(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def attached(self, session: DeviceSession) -> None:
        self._sessions[session.identity] = session
        session.on_subscriptions = lambda changed: self._announce(changed.identity)
        self._announce(session.identity)
        for listener in self._listeners:
            listener(session.identity, True)

    def detached(self, session: DeviceSession) -> None:
        if self._sessions.get(session.identity) is not session:
            return
        del self._sessions[session.identity]
        self._announce(session.identity)
        for listener in self._listeners:
            listener(session.identity, False)

    def listening(self, identity: Identity, kind: Kind) -> DeviceSession | None:
        """The identity's session, if it listens to ``kind`` now."""
        session = self._sessions.get(identity)
        return session if session is not None and session.is_open and session.subscribed_to(kind) else None

    async def wait_listening(self, identity: Identity, kind: Kind) -> DeviceSession:
        """The identity's session as soon as it listens to ``kind``."""
        changed = self._changed.setdefault(identity, asyncio.Event())
        while (session := self.listening(identity, kind)) is None:
            changed.clear()
            await changed.wait()
        return session

    def _announce(self, identity: Identity) -> None:
        if identity in self._changed:
            self._changed[identity].set()
