"""The leaf devices this device vouches for, known without a network (contract.md §6.10)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from cryptography.hazmat.primitives.serialization import Encoding

from skerry.clock import Clock
from skerry.contract.names import DeviceId, Identity
from skerry.edge.hub.leaf import Leaf, parse_leaf
from skerry.errors import InvalidInput, SkerryError
from skerry.service.certificate_chain import Certificate, read_certificate
from skerry.store.documents import Documents

log = logging.getLogger(__name__)

# As Azure's edgeHub: now and again, at once for a stranger, but not for each of his attempts.
REFRESH_EVERY_S = 3600.0
STRANGER_EVERY_S = 120.0
RETRY_S = 60.0
_KEY = "scope"
_AUTHORITIES = "certificateAuthorities"


class ScopeService(Protocol):
    """The hub's list. Raises Unavailable, NotAuthenticated, NotAllowed."""

    async def scope(self) -> Any:
        """The document of ``devicesAndModulesInDeviceScope``."""


class DeviceScope:
    """Child devices by what proves them, as last heard. ``gone`` is told who left or is proved anew."""

    def __init__(
        self, documents: Documents, service: ScopeService, clock: Clock, gone: Callable[[Identity], None]
    ) -> None:
        self._documents = documents
        self._service = service
        self._clock = clock
        self._gone = gone
        self._leaves: dict[DeviceId, Leaf] = {}
        self.anchors: tuple[Certificate, ...] = ()
        self._asked_at = float("-inf")
        self._refreshing = asyncio.Lock()

    def load(self) -> None:
        """Read what earlier runs learned."""
        document = self._documents.get(_KEY) or {}
        self._leaves = {DeviceId(device): Leaf.from_json(leaf) for device, leaf in document.items()}
        known = self._documents.get(_AUTHORITIES) or []
        self.anchors = tuple(read_certificate(pem, _AUTHORITIES) for pem in known)

    def keys(self, identity: Identity) -> tuple[str, ...]:
        """The keys (base64) a leaf device may sign with; none when it is not in the scope."""
        leaf = self._find(identity)
        return leaf.keys if leaf is not None else ()

    def by_certificate(self, identity: Identity) -> Leaf | None:
        """A leaf device in the scope that shows a certificate."""
        leaf = self._find(identity)
        return leaf if leaf is not None and leaf.by_certificate else None

    def _find(self, identity: Identity) -> Leaf | None:
        return self._leaves.get(identity.device) if identity.module is None else None

    async def look_for(self, identity: Identity) -> None:
        """A stranger knocks: perhaps it is new in the scope. Returns when that is known, or cannot be."""
        now = self._clock.monotonic()
        if identity.module is not None or now - self._asked_at < STRANGER_EVERY_S:
            return
        self._asked_at = now
        try:
            await self.refresh()
        except SkerryError as error:
            log.info("the device scope could not be read for %s: %s", identity.client_id, error)

    async def refresh(self) -> None:
        """Take over the hub's list."""
        async with self._refreshing:
            found, anchors = parse_scope(await self._service.scope())
            before, self._leaves = self._leaves, found
            if anchors != self.anchors:
                self.anchors = anchors
                pems = [one.public_bytes(Encoding.PEM).decode() for one in anchors]
                await self._documents.put(_AUTHORITIES, pems)
            if found != before:
                leaves = {str(device): leaf.to_json() for device, leaf in found.items()}
                await self._documents.put(_KEY, leaves)
                log.info("%d leaf devices are in the scope of this device", len(found))
        for device, leaf in before.items():
            if found.get(device) != leaf:
                self._gone(Identity(device))

    async def run(self) -> None:
        """Keep the list fresh until cancelled."""
        while True:
            try:
                await self.refresh()
            except SkerryError as error:
                log.debug("the device scope could not be read: %s", error)
                await self._clock.sleep(RETRY_S)
            else:
                await self._clock.sleep(REFRESH_EVERY_S)


class NoScope:
    """Stands for a hub that is switched off: no leaf devices but those known before."""

    async def scope(self) -> Any:
        return {"devices": []}


def parse_scope(document: Any) -> tuple[dict[DeviceId, Leaf], tuple[Certificate, ...]]:
    """Enabled leaf devices, and the authorities of those with certificates. InvalidInput."""
    try:
        devices = {
            DeviceId(device["deviceId"]): leaf
            for device in document["devices"]
            if device.get("status", "enabled") == "enabled" and (leaf := parse_leaf(device)) is not None
        }
        # Ours: Azure's hub does not say.
        authorities = [read_certificate(pem, _AUTHORITIES) for pem in document.get(_AUTHORITIES, ())]
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInput("the hub sent a device scope that is none") from error
    return devices, tuple(authorities)
