"""Reports which clients are connected, in the ``$edgeHub`` twin (contract.md §6.5)."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from typing import Any

from skerry.clock import Clock, iso
from skerry.contract.json_text import compact
from skerry.contract.names import Identity
from skerry.contract.twin import difference
from skerry.edge.hub.twins import Twins
from skerry.errors import SkerryError

log = logging.getLogger(__name__)

Entries = dict[str, dict[str, Any]]

# A module that comes and goes quickly is one change, not many.
GATHER_S = 0.5
# A twin's reported part holds 32 KiB (contract.md §2.6); half of it is for the rest of the report.
SHOWN_BYTES_MAX = 16 * 1024
# Ours, beside ``clients``: how many more there are than the twin has room for.
NOT_SHOWN = "clientsNotShown"
_ILLEGAL = re.compile(r"[.$#\s]")
_TIMES = ("lastConnectedTimeUtc", "lastDisconnectedTimeUtc")


class ClientsReport:
    """Gathers changes and merges them into the reported properties; the newest clients have room first."""

    def __init__(self, identity: Identity, twins: Twins, clock: Clock) -> None:
        self._identity = identity
        self._twins = twins
        self._clock = clock
        self._entries: Entries = {}
        self._not_shown = 0
        self._took_over = False
        self._wake = asyncio.Event()

    def changed(self, client: Identity, connected: bool) -> None:
        """A client came or went."""
        key = client_key(client)
        entry = self._entries.pop(key, {})
        self._wake.set()
        if client.device != self._identity.device and not connected:
            # A leaf device that left is no client of ours any more; the difference becomes a null.
            return
        time = _TIMES[0] if connected else _TIMES[1]
        status = "Connected" if connected else "Disconnected"
        # Taken out and put in again: the newest is the last.
        self._entries[key] = entry | {"status": status, time: iso(self._clock.now())}

    async def run(self) -> None:
        """Report until cancelled. What an earlier run left as connected is not any more."""
        if not self._took_over:
            self._took_over = True
            self._take_over()
        while True:
            await self._wake.wait()
            await self._clock.sleep(GATHER_S)
            self._wake.clear()
            try:
                await self._report()
            except SkerryError as error:
                log.warning("could not report the connected clients: %s", error)

    async def _report(self) -> None:
        shown = newest(self._entries, SHOWN_BYTES_MAX)
        hidden = len(self._entries) - len(shown)
        if hidden and not self._not_shown:
            log.info("the twin has room for the newest %d of %d clients", len(shown), len(self._entries))
        self._not_shown = hidden
        reported = self._twins.cached(self._identity).reported
        before = {"clients": reported.get("clients") or {}, NOT_SHOWN: reported.get(NOT_SHOWN)}
        patch = difference(before, {"clients": shown, NOT_SHOWN: hidden or None})
        if patch:
            await self._twins.patch_reported(self._identity, patch)

    def _take_over(self) -> None:
        """What an earlier run reported, older than anything of this one."""
        earlier = self._twins.cached(self._identity).reported.get("clients")
        if not isinstance(earlier, dict):
            return
        known = {key: entry for key, entry in earlier.items() if isinstance(entry, dict) and self._ours(key)}
        now = iso(self._clock.now())
        for key, entry in known.items():
            if key not in self._entries and entry.get("status") == "Connected":
                known[key] = entry | {"status": "Disconnected", _TIMES[1]: now}
                self._wake.set()
        if known.keys() != earlier.keys():
            self._wake.set()
        older = sorted(known, key=lambda key: max(str(known[key].get(time, "")) for time in _TIMES))
        self._entries = {key: known[key] for key in older if key not in self._entries} | self._entries

    def _ours(self, key: str) -> bool:
        own = client_key(Identity(self._identity.device))
        return key == own or key.startswith(own + "/")


def newest(entries: Mapping[str, dict[str, Any]], bytes_max: int) -> Entries:
    """The last of ``entries`` that fit into so many bytes of JSON, connected ones before others."""
    room = bytes_max
    shown: set[str] = set()
    newest_first = list(entries)[::-1]
    newest_first.sort(key=lambda key: entries[key].get("status") != "Connected")
    for key in newest_first:
        room -= len(key.encode()) + len(compact(entries[key])) + len('"":,')
        if room < 0:
            break
        shown.add(key)
    return {key: entry for key, entry in entries.items() if key in shown}


def client_key(client: Identity) -> str:
    """``device/module``, with what a property name may not hold percent-encoded."""
    return _ILLEGAL.sub(lambda found: f"%{ord(found[0]):02X}", client.client_id)
