"""The durable message queue for store-and-forward.

Rows are kept per endpoint and drained in (priority, sequence) order; a lower number is a higher priority.
Appends that wait for the same fsync share one transaction. Removals are lazy: they ride with the next append
or follow shortly after. A crash before that means a message is delivered again, never that one is lost.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from skerry.clock import Clock
from skerry.errors import SkerryError, StorageFull
from skerry.store import entries
from skerry.store.database import Database
from skerry.store.entries import QUEUE, START, Cursor, Entry, Length, Stored
from skerry.store.tail import TAIL_BYTES_MAX, Tails

__all__ = ["Cursor", "Entry", "Length", "Queue", "Stored"]

log = logging.getLogger(__name__)

# Sequences are promised in blocks, so that none is used twice even when the queue was empty at a crash,
# without writing the counter at every commit.
SEQUENCES_RESERVED = 65_536
# An idle queue commits its removals after this long; a busy one with its next append.
REMOVAL_DELAY_S = 0.05
# After a failed commit (disk full) the removals, which make room, go alone: at once, then this often.
REMOVAL_RETRY_S = 1.0
# So many removals are committed without waiting, to keep the transaction short.
REMOVALS_MAX = 1024
# Rows in one shared insert; the next caller starts another.
BATCH_ROWS_MAX = 4096
# A reader's memory for one peek, not counting a single larger entry.
PEEK_BYTES_MAX = 4 * 1024 * 1024
# Expired entries deleted in one transaction, so that appends are not held up for long.
EXPIRY_MAX = 2048
# Read in one snapshot by ``verify``: a long one would keep the write-ahead log from shrinking.
VERIFY_ROWS = 4096


@dataclass(slots=True, eq=False)
class Batch:
    """Appends, with removals, that share one transaction."""

    rows: list[Stored] = field(default_factory=list)
    waiters: list[asyncio.Future[None]] = field(default_factory=list)
    lengths: dict[str, Length] = field(default_factory=dict)
    removed: list[int] = field(default_factory=list)
    alone: bool = False


class Queue:
    """Entries by endpoint, durable once appended, bounded in bytes and messages over all endpoints."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        first: int,
        bytes_max: int,
        messages_max: int | None,
        tails: Tails,
    ) -> None:
        self._database = database
        self._clock = clock
        self._next = self._reserved = first
        self._bytes_max = bytes_max
        self._messages_max = messages_max
        self._counts: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()
        self._messages = self._bytes = 0  # with what is being appended
        self._events: dict[str, asyncio.Event] = {}
        self._lock = threading.Lock()  # guards the next two between loop and writer
        self._batch: Batch | None = None
        self._removals: list[int] = []
        self._removed: set[int] = set()  # removed for callers, not yet on disk
        self._peeks: list[set[int]] = []  # what was committed as removed during each running peek
        self._removals_alone = False
        self._tails = tails
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        bytes_max: int,
        clock: Clock,
        messages_max: int | None = None,
        tail_bytes_max: int = TAIL_BYTES_MAX,
    ) -> Queue:
        """Open or create the file; what it holds is counted. Raises as ``Database.open``.

        Of what is drained as it comes ``tail_bytes_max`` stay in memory, beside the disk.
        """
        database = await Database.open(path, QUEUE)
        try:
            first = await database.read(entries.first_free)
            lengths = await database.read(entries.totals)
        except SkerryError:
            await database.close()
            raise
        queue = cls(database, clock, first, bytes_max, messages_max, Tails(tail_bytes_max))
        for endpoint, length in lengths.items():
            queue._count(endpoint, length.messages, length.size)
            queue._messages += length.messages
            queue._bytes += length.size
        return queue

    async def append(self, added: Sequence[Entry]) -> Sequence[int]:
        """Their sequences, once all of them are on disk; all or none are kept.

        Raises StorageFull when the caps or the disk have no room.
        """
        if not added:
            return []
        lengths = entries.lengths_of(added)
        self._reserve_room(len(added), sum(length.size for length in lengths.values()))
        waiter = asyncio.get_running_loop().create_future()
        sequences = range(self._next, self._next + len(added))
        self._next = sequences.stop
        rows = [Stored(sequence, *entry) for sequence, entry in zip(sequences, added, strict=True)]
        with self._lock:
            batch = self._batch
            fresh = batch is None or len(batch.rows) >= BATCH_ROWS_MAX
            if batch is None or fresh:
                batch = self._batch = Batch()
            batch.rows += rows
            for endpoint, length in lengths.items():
                messages, size = batch.lengths.get(endpoint, (0, 0))
                batch.lengths[endpoint] = Length(messages + length.messages, size + length.size)
            batch.waiters.append(waiter)
        if fresh:
            self._submit(batch)
        await waiter
        return sequences

    async def peek(
        self, endpoint: str, after: Cursor | None, limit: int, *, bytes_max: int = PEEK_BYTES_MAX
    ) -> list[Stored]:
        """What comes after the place, highest priority (lowest number) first, then in stored order.

        At most ``limit`` entries and about ``bytes_max`` bytes; no expired ones.
        """
        place = after or START
        if not self._counts[endpoint]:
            return []
        if (tail := self._tails.read(endpoint)) is not None:
            return tail.following(place, self._clock.now().timestamp(), limit, bytes_max)
        # The reader's snapshot may be older than removals that are committed while it reads.
        removed: set[int] = set()
        self._peeks.append(removed)
        try:
            while True:
                work = partial(
                    entries.following,
                    endpoint=endpoint,
                    after=place,
                    now=self._clock.now().timestamp(),
                    limit=limit,
                    bytes_max=bytes_max,
                )
                found = await self._database.read(work)
                removed |= self._removed
                kept = [entry for entry in found if entry.sequence not in removed]
                if kept or not found:
                    return kept
                place = found[-1].cursor
        finally:
            # By identity: two peeks may hold equal sets.
            self._peeks = [other for other in self._peeks if other is not removed]

    async def remove(self, endpoint: str, sequences: Sequence[int]) -> None:
        """Take them out; gone for every caller now, on disk within a moment. Unknown ones are ignored."""
        sizes = self._tails.take(endpoint, sequences)
        if sizes is None:
            fresh = [sequence for sequence in sequences if sequence not in self._removed]
            sizes = self._database.read_now(lambda connection: entries.sizes(connection, endpoint, fresh))
        if not sizes:
            return
        self._release(endpoint, len(sizes), sum(sizes.values()))
        self._removed.update(sizes)
        with self._lock:
            self._removals.extend(sizes)
            many = len(self._removals) >= REMOVALS_MAX
        if many and not self._removals_alone:
            self._flush_removals()
        elif self._timer is None:
            self._start_timer(REMOVAL_DELAY_S)

    def lengths(self) -> Mapping[str, Length]:
        """What every endpoint holds that is committed and neither removed nor found expired."""
        return {name: Length(count, self._sizes[name]) for name, count in self._counts.items() if count}

    @property
    def bytes_held(self) -> int:
        """Bytes that count against ``bytes_max``, those being appended included."""
        return self._bytes

    def waiter(self, endpoint: str) -> asyncio.Event:
        """The endpoint's event, set whenever entries arrive: clear it, peek, and wait if that was empty."""
        if endpoint not in self._events:
            self._events[endpoint] = asyncio.Event()
            if self._counts[endpoint]:
                self._events[endpoint].set()
        return self._events[endpoint]

    async def expire(self, now: float) -> Mapping[str, int]:
        """Drop what expired at or before ``now`` (Unix seconds); how many messages each endpoint lost."""
        dropped: Counter[str] = Counter()
        while True:
            gone = await self._database.write(
                lambda connection: entries.delete_expired(connection, now, EXPIRY_MAX)
            )
            for sequence, endpoint, size in gone:
                if sequence not in self._removed:
                    self._tails.take(endpoint, (sequence,))
                    self._release(endpoint, 1, size)
                    dropped[endpoint] += 1
            if len(gone) < EXPIRY_MAX:
                return dict(dropped)

    async def make_room(
        self, endpoint: str, messages: int, size: int, *, priority_min: int | None = None
    ) -> Length:
        """Drop the oldest entries of an endpoint until so much is free; what was dropped, perhaps less.

        With ``priority_min``: the least urgent first, and none more urgent than that.
        """
        dropped = freed = 0
        while messages > dropped or size > freed:
            work = partial(
                entries.delete_excess,
                endpoint=endpoint,
                messages=messages - dropped,
                size=size - freed,
                priority_min=priority_min,
                limit=EXPIRY_MAX,
            )
            gone = await self._database.write(work)
            if not gone:
                break
            for sequence, length in gone:
                if sequence not in self._removed:
                    self._tails.take(endpoint, (sequence,))
                    self._release(endpoint, 1, length)
                    dropped, freed = dropped + 1, freed + length
        return Length(dropped, freed)

    async def expiring(self, before: float) -> Mapping[str, int]:
        """How many messages of each endpoint expire before a time (Unix seconds)."""
        return await self._database.read(lambda connection: entries.expiring(connection, before))

    async def verify(self) -> None:
        """Read all that is on disk, a part at a time. Raises Damaged."""
        after: int | None = 0
        while after is not None:
            after = await self._database.read(partial(entries.verify, after=after, limit=VERIFY_ROWS))
        await self._database.read(entries.verify_order)

    async def close(self) -> None:
        """Commit what is pending, then close the file."""
        self._stop_timer()
        self._flush_removals()
        await self._database.close()

    def _reserve_room(self, messages: int, size: int) -> None:
        over_messages = self._messages_max is not None and self._messages + messages > self._messages_max
        if self._bytes + size > self._bytes_max or over_messages:
            raise StorageFull(
                f"the message queue is full: {self._messages} messages, {self._bytes} bytes",
                hint="it drains when the endpoint is reachable again; or raise the bound in the settings",
                bytes_max=self._bytes_max,
                messages_max=self._messages_max,
            )
        self._messages += messages
        self._bytes += size

    def _release(self, endpoint: str, messages: int, size: int) -> None:
        self._count(endpoint, -messages, -size)
        self._messages -= messages
        self._bytes -= size

    def _count(self, endpoint: str, messages: int, size: int) -> None:
        self._counts[endpoint] += messages
        self._sizes[endpoint] += size

    def _flush_removals(self) -> None:
        with self._lock:
            if not self._removals:
                return
        self._submit(Batch(alone=True))

    def _start_timer(self, delay_s: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._timer_fired)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _timer_fired(self) -> None:
        self._timer = None
        self._flush_removals()

    def _submit(self, batch: Batch) -> None:
        if self._next > self._reserved:
            self._reserved = self._next + SEQUENCES_RESERVED
        done = self._database.submit(partial(self._write, batch, self._reserved))
        done.add_done_callback(partial(self._finished, batch))

    def _write(self, batch: Batch, reserved: int, connection: sqlite3.Connection) -> None:
        """In the writer's thread, perhaps a second time after a failure."""
        with self._lock:
            if self._batch is batch:
                self._batch = None
            if batch.alone or not self._removals_alone:
                batch.removed += self._removals
                self._removals = []
        if batch.removed:
            entries.delete(connection, batch.removed)
        if batch.rows:
            entries.reserve(connection, reserved)
            entries.insert(connection, batch.rows, batch.lengths)

    def _finished(self, batch: Batch, done: asyncio.Future[object]) -> None:
        error = done.exception()
        if error is None:
            self._committed(batch)
        else:
            self._failed(batch, error)

    def _committed(self, batch: Batch) -> None:
        self._removed.difference_update(batch.removed)
        for removed in self._peeks:
            removed.update(batch.removed)
        if batch.alone:
            self._removals_alone = False
        for endpoint in batch.lengths:
            if not self._counts[endpoint]:
                self._tails.begin(endpoint)
        self._tails.add(batch.rows)
        for endpoint, length in batch.lengths.items():
            self._count(endpoint, length.messages, length.size)
            if endpoint in self._events:
                self._events[endpoint].set()
        for waiter in batch.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _failed(self, batch: Batch, error: BaseException) -> None:
        self._messages -= len(batch.rows)
        self._bytes -= sum(length.size for length in batch.lengths.values())
        with self._lock:
            if self._batch is batch:
                self._batch = None
            self._removals = batch.removed + self._removals
        if batch.removed:
            log.warning("%d removals wait for the disk: %s", len(batch.removed), error)
            self._removals_alone = True
            if batch.rows:
                self._flush_removals()
            else:
                self._start_timer(REMOVAL_RETRY_S)
        for waiter in batch.waiters:
            if not waiter.done():
                waiter.set_exception(error)
