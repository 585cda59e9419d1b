"""Reports which clients are connected, in the ``$edgeHub`` twin (contract.md §6.5)."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

from skerry.clock import Clock, iso
from skerry.contract.names import Identity
from skerry.edge.hub.twins import Twins
from skerry.errors import SkerryError

log = logging.getLogger(__name__)

# A module that comes and goes quickly is one change, not many.
GATHER_S = 0.5
_ILLEGAL = re.compile(r"[.$#\s]")


class ClientsReport:
    """Gathers changes and merges them into the reported properties."""

    def __init__(self, identity: Identity, twins: Twins, clock: Clock) -> None:
        self._identity = identity
        self._twins = twins
        self._clock = clock
        self._changes: dict[str, Any] = {}
        self._wake = asyncio.Event()

    def changed(self, client: Identity, connected: bool) -> None:
        """A client came or went."""
        time = "lastConnectedTimeUtc" if connected else "lastDisconnectedTimeUtc"
        status = "Connected" if connected else "Disconnected"
        entry = self._changes.setdefault(client_key(client), {})
        entry |= {"status": status, time: iso(self._clock.now())}
        self._wake.set()

    async def run(self) -> None:
        """Report until cancelled. What an earlier run left as connected is not any more."""
        self._close_stale()
        while True:
            await self._wake.wait()
            await self._clock.sleep(GATHER_S)
            self._wake.clear()
            changes, self._changes = self._changes, {}
            try:
                await self._twins.patch_reported(self._identity, {"clients": changes})
            except SkerryError as error:
                log.warning("could not report the connected clients: %s", error)

    def _close_stale(self) -> None:
        clients = self._twins.cached(self._identity).reported.get("clients") or {}
        for key, entry in clients.items():
            if isinstance(entry, dict) and entry.get("status") == "Connected" and key not in self._changes:
                self._changes[key] = {
                    "status": "Disconnected",
                    "lastDisconnectedTimeUtc": iso(self._clock.now()),
                }
                self._wake.set()


def client_key(client: Identity) -> str:
    """``device/module``, with what a property name may not hold percent-encoded."""
    return _ILLEGAL.sub(lambda found: f"%{ord(found[0]):02X}", client.client_id)
