"""The twins of this device and its modules, readable and writable without a network."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from skerry.clock import Clock
from skerry.contract.names import Identity
from skerry.contract.twin import validate_patch
from skerry.edge.hub.twin_cache import UNKNOWN_TWIN, CachedTwin
from skerry.errors import Unavailable
from skerry.store.documents import Documents

log = logging.getLogger(__name__)

Document = dict[str, Any]
# Told of a desired change: the patch with ``$version``, and that version.
DesiredListener = Callable[[Document, int], None]


class Twins:
    """Every change is on disk when its verb returns; per twin they happen one after the other."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._twins: dict[Identity, CachedTwin] = {}
        self._locks: dict[Identity, asyncio.Lock] = {}
        self._desired_listeners: dict[Identity, list[DesiredListener]] = {}
        self._pending_listeners: list[Callable[[Identity], None]] = []

    async def load(self) -> None:
        """Read what earlier runs kept."""
        for key, document in await self._documents.items():
            self._twins[Identity.parse(key)] = CachedTwin.from_json(document)

    def on_desired(self, identity: Identity, listener: DesiredListener) -> Callable[[], None]:
        """Tell ``listener`` of every desired change; returns how to stop that."""
        listeners = self._desired_listeners.setdefault(identity, [])
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    async def wait_known(self, identity: Identity, seconds: float, clock: Clock) -> None:
        """Return once the twin was fetched, or after ``seconds``."""
        if self.cached(identity).known:
            return
        arrived = asyncio.Event()
        forget = self.on_desired(identity, lambda *_: arrived.set())
        waits = [asyncio.ensure_future(arrived.wait()), asyncio.ensure_future(clock.sleep(seconds))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            forget()
            for wait in waits:
                wait.cancel()

    def on_pending(self, listener: Callable[[Identity], None]) -> None:
        """Tell ``listener`` whenever a twin has something for the hub."""
        self._pending_listeners.append(listener)

    def unreported(self) -> list[Identity]:
        """Whose twins have something for the hub now."""
        return [identity for identity, twin in self._twins.items() if twin.pending]

    def cached(self, identity: Identity) -> CachedTwin:
        """What is known, perhaps nothing."""
        return self._twins.get(identity, UNKNOWN_TWIN)

    def view(self, identity: Identity) -> Document:
        """The twin as its owner gets it. Unavailable before the first contact with the hub."""
        twin = self.cached(identity)
        if not twin.known:
            raise Unavailable(
                f"the twin of {identity.client_id} was never fetched from the hub",
                hint="it is available offline after the first contact",
            )
        return twin.view()

    async def patch_reported(self, identity: Identity, patch: Document) -> int:
        """Merge the owner's patch; returns the new reported version. InvalidInput, TooLarge for a bad one."""
        validate_patch(patch)
        async with self._lock(identity):
            twin = self.cached(identity).reporting(patch)
            await self._keep(identity, twin)
        for listener in self._pending_listeners:
            listener(identity)
        return twin.reported_version

    async def confirm(self, identity: Identity, patch: Document, version: int | None) -> None:
        """The hub took ``patch``."""
        async with self._lock(identity):
            await self._keep(identity, self.cached(identity).confirming(patch, version))

    async def synced(self, identity: Identity, document: Document) -> None:
        """The hub's whole twin arrived."""
        async with self._lock(identity):
            await self._advance(identity, self.cached(identity).synced(document))

    async def desired_patch(self, identity: Identity, patch: Document, version: int) -> bool:
        """A desired patch arrived; False when one before it was missed and the twin must be fetched."""
        async with self._lock(identity):
            twin = self.cached(identity)
            if not twin.follows(version):
                return twin.known and version == twin.desired_version
            await self._advance(identity, twin.patched(patch, version))
            return True

    async def forget(self, identity: Identity) -> None:
        """The identity is gone."""
        async with self._lock(identity):
            await self._documents.delete(identity.client_id)
            self._twins.pop(identity, None)

    async def _advance(self, identity: Identity, twin: CachedTwin) -> None:
        before = self.cached(identity)
        await self._keep(identity, twin)
        change = before.desired_change(twin)
        if change is not None:
            log.info("desired properties of %s are at version %d", identity.client_id, twin.desired_version)
            for listener in list(self._desired_listeners.get(identity, ())):
                listener(change, twin.desired_version)

    async def _keep(self, identity: Identity, twin: CachedTwin) -> None:
        if twin != self._twins.get(identity):
            await self._documents.put(identity.client_id, twin.to_json())
            self._twins[identity] = twin

    def _lock(self, identity: Identity) -> asyncio.Lock:
        return self._locks.setdefault(identity, asyncio.Lock())
