"""Numbers every sender's messages to the hub without gaps and chains them, across crashes.

A number counts once its message is committed in the queue. What is remembered beside the queue is per sender
``{next, after, head}``: every entry with a queue sequence up to ``after`` has a number below ``next``, and
``head`` is the digest of the newest of those. At start the few entries behind ``after`` are looked at, so the
next number and its chain are right without a write per message. Entries behind ``after`` may therefore only
leave the queue once ``settle`` has moved it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from skerry.contract.hub_desired import PRIORITY_DEFAULT, PRIORITY_MAX
from skerry.contract.names import Identity
from skerry.edge.hub.envelope import unpack
from skerry.edge.hub.router import upstream_endpoint, upstream_sender
from skerry.store.documents import Documents
from skerry.store.queue import Cursor, Queue

# At a start at most about this many entries per sender are read again.
REMEMBER_EVERY = 1000
SCAN_ENTRIES = 256
# Routes have priorities 0…9; the default is below them all (contract.md §6.3).
PRIORITIES = (*range(PRIORITY_MAX + 1), PRIORITY_DEFAULT)


class Newest(NamedTuple):
    """A sender's last number that is in the queue, the newest entry there, the last number's digest."""

    number: int
    entry: int
    head: str


@dataclass
class _Count:
    epoch: str
    head: str
    committed: int = 0
    last_entry: int = 0
    remembered_entry: int = 0
    remembered: int = 0


class Ledger:
    """Hands out the numbers; one caller per sender at a time."""

    def __init__(self, queue: Queue, documents: Documents) -> None:
        self._queue = queue
        self._documents = documents
        self._counts: dict[Identity, _Count] = {}

    async def load(self) -> None:
        """Find every sender's last committed number."""
        for key, document in await self._documents.items():
            last, entry = document["next"] - 1, document["after"]
            # A store of an earlier version has no chain, and begins none within an epoch.
            count = _Count(document["epoch"], document.get("head", ""), last, entry, entry, last)
            self._counts[Identity.parse(key)] = count
        for endpoint in self._queue.lengths():
            if (sender := upstream_sender(endpoint)) is not None:
                await self._scan(sender)

    def last(self, sender: Identity) -> int:
        """The sender's last committed number; 0 before the first."""
        return self._counts[sender].committed if sender in self._counts else 0

    async def introduce(self, senders: Iterable[Identity]) -> None:
        """Call before numbering: each has an epoch then, on disk."""
        new = [sender for sender in senders if sender not in self._counts]
        if new:
            self._counts |= {sender: _fresh() for sender in new}
            await self._remember(new)

    def epoch(self, sender: Identity) -> str:
        """Names the life of this store, so that a re-installed device does not look like repetition."""
        return self._counts[sender].epoch

    def head(self, sender: Identity) -> str:
        """The digest the sender's next message names; empty: it has no chain."""
        return self._counts[sender].head

    def heads(self) -> dict[str, dict[str, Any]]:
        """For people, by sender: what the hub should have seen when nothing is on its way."""
        return {
            sender.client_id: {"epoch": count.epoch, "sent": count.committed, "head": count.head or None}
            for sender, count in sorted(self._counts.items())
        }

    async def committed(self, newest: Mapping[Identity, Newest]) -> None:
        """These are in the queue."""
        due: list[Identity] = []
        for sender, (last, entry, head) in newest.items():
            count = self._counts[sender]
            count.committed, count.last_entry, count.head = last, entry, head
            if last - count.remembered >= REMEMBER_EVERY:
                due.append(sender)
        await self._remember(due)

    async def settle(self, sender: Identity, entry: int) -> None:
        """Call before removing ``entry``: afterwards its number is not forgotten with it."""
        if sender in self._counts and entry > self._counts[sender].remembered_entry:
            await self._remember([sender])

    async def settle_all(self) -> None:
        """The same for all entries, before some expire."""
        await self._remember(
            [s for s, count in self._counts.items() if count.last_entry > count.remembered_entry]
        )

    async def _remember(self, senders: Iterable[Identity]) -> None:
        taken = {
            s: Newest(self._counts[s].committed, self._counts[s].last_entry, self._counts[s].head)
            for s in senders
        }
        if not taken:
            return
        await self._documents.put_all(
            {
                s.client_id: {
                    "epoch": self._counts[s].epoch,
                    "next": committed + 1,
                    "after": entry,
                    "head": head,
                }
                for s, (committed, entry, head) in taken.items()
            }
        )
        for sender, (committed, entry, _) in taken.items():
            count = self._counts[sender]
            count.remembered = max(committed, count.remembered)
            count.remembered_entry = max(entry, count.remembered_entry)

    async def _scan(self, sender: Identity) -> None:
        count = self._counts.setdefault(sender, _fresh())
        for priority in PRIORITIES:
            cursor = Cursor(priority, count.remembered_entry)
            while found := await self._queue.peek(upstream_endpoint(sender), cursor, SCAN_ENTRIES):
                for stored in found:
                    if stored.priority == priority:
                        envelope = unpack(stored)
                        if (envelope.sequence or 0) > count.committed:
                            count.committed = envelope.sequence or 0
                            count.head = "" if envelope.link is None else envelope.link.own
                        count.last_entry = max(count.last_entry, stored.sequence)
                if found[-1].priority != priority:
                    break
                cursor = found[-1].cursor


def _fresh() -> _Count:
    epoch = secrets.token_hex(4)
    return _Count(epoch, epoch)
