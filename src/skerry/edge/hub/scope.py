"""The leaf devices this device vouches for, known without a network (contract.md §6.10)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from skerry.clock import Clock
from skerry.contract.names import DeviceId, Identity
from skerry.errors import InvalidInput, SkerryError
from skerry.store.documents import Documents

log = logging.getLogger(__name__)

# As Azure's edgeHub: now and again, at once for a stranger, but not for each of his attempts.
REFRESH_EVERY_S = 3600.0
STRANGER_EVERY_S = 120.0
RETRY_S = 60.0
_KEY = "scope"


class ScopeService(Protocol):
    """The hub's list. Raises Unavailable, NotAuthenticated, NotAllowed."""

    async def scope(self) -> Any:
        """The document of ``devicesAndModulesInDeviceScope``."""


class DeviceScope:
    """Child devices by their keys, as last heard. ``gone`` is told who left or has new keys."""

    def __init__(
        self, documents: Documents, service: ScopeService, clock: Clock, gone: Callable[[Identity], None]
    ) -> None:
        self._documents = documents
        self._service = service
        self._clock = clock
        self._gone = gone
        self._keys: dict[DeviceId, tuple[str, ...]] = {}
        self._asked_at = float("-inf")
        self._refreshing = asyncio.Lock()

    def load(self) -> None:
        """Read what earlier runs learned."""
        document = self._documents.get(_KEY) or {}
        self._keys = {DeviceId(device): tuple(keys) for device, keys in document.items()}

    def keys(self, identity: Identity) -> tuple[str, ...]:
        """The keys (base64) a leaf device may sign with; none when it is not in the scope."""
        return self._keys.get(identity.device, ()) if identity.module is None else ()

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
            found = parse_scope(await self._service.scope())
            before, self._keys = self._keys, found
            if found != before:
                await self._documents.put(_KEY, {str(device): list(keys) for device, keys in found.items()})
                log.info("%d leaf devices are in the scope of this device", len(found))
        for device, keys in before.items():
            if found.get(device) != keys:
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


def parse_scope(document: Any) -> dict[DeviceId, tuple[str, ...]]:
    """Enabled leaf devices with symmetric keys; others cannot be vouched for here yet. InvalidInput."""
    try:
        devices = document["devices"]
        return {
            DeviceId(device["deviceId"]): keys
            for device in devices
            if device.get("status", "enabled") == "enabled" and (keys := _keys(device))
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInput("the hub sent a device scope that is none") from error


def _keys(device: Mapping[str, Any]) -> tuple[str, ...]:
    symmetric = (device.get("authentication") or {}).get("symmetricKey") or {}
    return tuple(key for key in (symmetric.get("primaryKey"), symmetric.get("secondaryKey")) if key)
