"""The newest entries of endpoints that keep up, in memory: whoever drains them need not read the disk.

An endpoint has a tail from the moment it was empty until it falls too far behind; while it has one, the tail
holds all that is committed and not removed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from skerry.store.entries import Cursor, Stored

# Of all tails together; beyond it the one that was read longest ago is given up, its entries are on disk.
TAIL_BYTES_MAX = 4 * 1024 * 1024
# What Python needs for an entry beside its bytes, roughly.
ENTRY_OVERHEAD_BYTES = 400


class Tail:
    """One endpoint's entries by priority, each in the order of sequences."""

    def __init__(self) -> None:
        self.bytes = 0
        self._entries: dict[int, Stored] = {}
        # By priority its sequences, those that were taken out included until there are many.
        self._orders: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Stored) -> None:
        """Sequences of a priority come in growing order."""
        self._entries[entry.sequence] = entry
        order = self._orders.get(entry.priority)
        if order is None:
            order = self._orders[entry.priority] = []
        order.append(entry.sequence)
        self.bytes += len(entry.body) + len(entry.headers) + ENTRY_OVERHEAD_BYTES

    def take(self, sequence: int) -> Stored | None:
        """Take an entry out, if it is there."""
        entry = self._entries.pop(sequence, None)
        if entry is None:
            return None
        self.bytes -= len(entry.body) + len(entry.headers) + ENTRY_OVERHEAD_BYTES
        order = self._orders[entry.priority]
        if len(order) > 2 * len(self._entries) + 64:
            self._orders[entry.priority] = [known for known in order if known in self._entries]
        return entry

    def following(self, after: Cursor, now: float, limit: int, bytes_max: int) -> list[Stored]:
        """As ``entries.following``."""
        found: list[Stored] = []
        size = 0
        for priority in sorted(self._orders):
            if priority < after.priority:
                continue
            order = self._orders[priority]
            at = bisect_right(order, after.sequence) if priority == after.priority else 0
            while at < len(order):
                entry = self._entries.get(order[at])
                at += 1
                if entry is None or (entry.expires_at is not None and entry.expires_at <= now):
                    continue
                size += len(entry.body) + len(entry.headers)
                if len(found) == limit or (found and size > bytes_max):
                    return found
                found.append(entry)
        return found


class Tails:
    """The tails of a queue, bounded together."""

    def __init__(self, bytes_max: int = TAIL_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        # The one that was read last stands last.
        self._tails: dict[str, Tail] = {}

    def begin(self, endpoint: str) -> None:
        """The endpoint is empty: all that it will hold comes through ``add``."""
        if endpoint not in self._tails:
            self._tails[endpoint] = Tail()

    def add(self, rows: Iterable[Stored]) -> None:
        """These are committed."""
        tails = self._tails
        for row in rows:
            tail = tails.get(row[1])
            if tail is not None:
                before = tail.bytes
                tail.add(row)
                self._bytes += tail.bytes - before
        while self._bytes > self._bytes_max:
            self._bytes -= tails.pop(next(iter(tails))).bytes

    def read(self, endpoint: str) -> Tail | None:
        """The endpoint's tail, for whoever drains it."""
        tail = self._tails.pop(endpoint, None)
        if tail is not None:
            self._tails[endpoint] = tail
        return tail

    def take(self, endpoint: str, sequences: Iterable[int]) -> dict[int, int] | None:
        """Take entries out: the bytes of those that were there; None when the endpoint has no tail."""
        tail = self._tails.get(endpoint)
        if tail is None:
            return None
        before = tail.bytes
        taken: dict[int, int] = {}
        for sequence in sequences:
            entry = tail.take(sequence)
            if entry is not None:
                taken[sequence] = len(entry.body) + len(entry.headers)
        self._bytes -= before - tail.bytes
        return taken
