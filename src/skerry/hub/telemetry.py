"""The durable telemetry log: appended by devices, read by position, live or later."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from skerry.clock import Clock, iso
from skerry.contract.hub_event import MESSAGE_SOURCE, TELEMETRY
from skerry.contract.message import Message
from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.errors import StorageFull
from skerry.hub.ledger import Ledger
from skerry.store.storage import Storage, Transaction

log = logging.getLogger(__name__)

# Pages of this size keep a slow reader's memory below 64 MiB even with the largest messages (256 KiB).
PAGE_MAX = 200
# How often the log is trimmed to what it may keep, and how many rows go in one transaction.
TRIM_EVERY_S = 60.0
TRIM_ROWS = 5_000
TRIM_BYTES = 32 * 1024 * 1024
UNBOUNDED = 2**62
# What a message takes up in the file beside its own bytes: times, names, index, page overhead. A low guess:
# trimming looks at the pages again and goes on.
ROW_BYTES = 100


@dataclass(frozen=True, slots=True)
class Event:
    """One stored message: its position, when it was stored (ISO, UTC), who sent it, what."""

    sequence: int
    enqueued: str
    sender: Identity
    message: Message


@dataclass(frozen=True, slots=True)
class Bounds:
    """The first and last sequence number, and when the last message came (``None``: the log is empty)."""

    first: int
    last: int
    last_enqueued: str | None


_SOURCE_SQL = f"coalesce(system ->> '$.\"{MESSAGE_SOURCE}\"', '{TELEMETRY}')"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which senders a reader wants; ``None`` means all, ``module=""`` the device itself only.

    ``source`` is an ``iothub-message-source``.
    """

    device: str | None = None
    module: str | None = None
    source: str | None = None

    def where(self) -> tuple[str, tuple[str, ...]]:
        terms = [("device", self.device), ("module", self.module), (_SOURCE_SQL, self.source)]
        given = [(column, value) for column, value in terms if value is not None]
        return "".join(f" AND {column} = ?" for column, _ in given), tuple(value for _, value in given)


EVERYTHING = Filter()


class Telemetry:
    """The log of one hub. ``append`` returns when the message survives a power loss."""

    def __init__(self, database: Storage, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._arrived = asyncio.Event()
        self.appended = 0
        self.ledger = Ledger(database)

    async def append(self, sender: Identity, message: Message) -> int:
        """Store one message and return its sequence number. Raises StorageFull: nothing was kept."""
        row = (
            iso(self._clock.now()),
            str(sender.device),
            str(sender.module or ""),
            json.dumps(dict(message.properties), ensure_ascii=False),
            json.dumps(dict(message.system), ensure_ascii=False),
            message.body,
        )
        try:
            sequence = await self._database.write(lambda connection: _insert(connection, row))
        except StorageFull:
            log.error("telemetry of %s not stored, not acknowledged: the disk is full", sender.client_id)
            raise
        self.appended += 1
        self._arrived.set()
        self._arrived = asyncio.Event()
        return sequence

    async def taken_over(self) -> int:
        """The number of the last event of the hub that ``take_over`` stored."""
        sql = "SELECT number FROM taken_over"
        return int(await self._database.read(lambda connection: connection.execute(sql).fetchone()[0]))

    async def take_over(self, numbered: Sequence[tuple[int, tuple[object, ...]]]) -> None:
        """Store events of the hub by their numbers, ascending; one that is known already is left out."""

        def work(connection: Transaction) -> int:
            (known,) = connection.execute("SELECT number FROM taken_over").fetchone()
            new = [(number, row) for number, row in numbered if number > known]
            for _, row in new:
                _insert(connection, row)
            if new:
                connection.execute("UPDATE taken_over SET number = ?", (new[-1][0],))
            return len(new)

        if await self._database.write(work):
            self._arrived.set()
            self._arrived = asyncio.Event()

    async def read(self, after: int, limit: int = PAGE_MAX, only: Filter = EVERYTHING) -> Sequence[Event]:
        """Up to ``limit`` messages with a sequence number greater than ``after``, in order."""
        return await self._database.read(lambda connection: _page(connection, after, limit, only))

    async def read_or_wait(self, after: int, limit: int, only: Filter, wait_s: float) -> Sequence[Event]:
        """As ``read``, but when there is nothing yet wait up to ``wait_s`` seconds for something to come."""
        deadline = self._clock.monotonic() + wait_s
        while True:
            arrived = self._arrived
            found = await self.read(after, limit, only)
            left = deadline - self._clock.monotonic()
            if found or left <= 0:
                return found
            try:
                await asyncio.wait_for(arrived.wait(), left)
            except TimeoutError:
                return []

    async def follow(self, after: int, only: Filter, idle_s: float) -> AsyncIterator[Event | None]:
        """Every message after ``after``, then new ones as they come; ``None`` after ``idle_s`` of quiet."""
        while True:
            events = await self.read_or_wait(after, PAGE_MAX, only, idle_s)
            if not events:
                yield None
            for event in events:
                after = event.sequence
                yield event

    async def newest(self) -> int:
        """The sequence number of the last stored message, 0 before the first."""
        return await self._database.read(_newest)

    async def bounds(self) -> Bounds:
        """What the log holds now."""
        return await self._database.read(_bounds)

    async def before_time(self, moment: str) -> int:
        """The position after which everything came at ``moment`` (ISO, UTC) or later.

        Found by halving, so it is exact as long as the clock was not set back while messages came.
        """
        return await self._database.read(lambda connection: _before_time(connection, moment))

    async def trim(self, keep_days: float, keep_messages: int, keep_bytes: int = UNBOUNDED) -> int:
        """Drop what is older or beyond what may be kept; returns how many messages went."""
        # What is trimmed has to be in the accounts before.
        await self.ledger.fold()
        oldest = iso(self._clock.now() - timedelta(days=keep_days))
        dropped = 0
        while True:
            gone = await self._database.write(lambda connection: _trim(connection, oldest, keep_messages))
            dropped += gone
            if gone < TRIM_ROWS:
                break
        while gone := await self._database.write(lambda c: _trim_bytes(c, keep_bytes)):
            dropped += gone
        if dropped:
            log.info("telemetry: dropped %d messages past their keeping", dropped)
        return dropped

    async def keep_trimmed(self, keep_days: float, keep_messages: int, keep_bytes: int) -> None:
        """Trim now and every minute, for ever; a full disk is logged and tried again."""
        while True:
            try:
                await self.trim(keep_days, keep_messages, keep_bytes)
            except StorageFull as full:
                log.error("telemetry could not be trimmed: %s", full)
            await self._clock.sleep(TRIM_EVERY_S)


def _insert(connection: Transaction, row: tuple[object, ...]) -> int:
    sql = (
        "INSERT INTO telemetry (enqueued, device, module, properties, system, body) VALUES (?, ?, ?, ?, ?, ?)"
    )
    sequence = connection.execute(sql, row).lastrowid
    assert sequence is not None
    return sequence


def _page(connection: Transaction, after: int, limit: int, only: Filter) -> list[Event]:
    where, values = only.where()
    # The terms are column names of ours; every value is a parameter.
    sql = (
        "SELECT sequence, enqueued, device, module, properties, system, body FROM telemetry"
        f" WHERE sequence > ?{where} ORDER BY sequence LIMIT ?"
    )
    return [_event(row) for row in connection.execute(sql, (after, *values, min(limit, PAGE_MAX)))]


def _event(row: tuple[int, str, str, str, str, str, bytes]) -> Event:
    sequence, enqueued, device, module, properties, system, body = row
    sender = Identity(DeviceId(device), ModuleId(module) if module else None)
    message = Message(body=body, properties=json.loads(properties), system=json.loads(system))
    return Event(sequence, enqueued, sender, message)


def _newest(connection: Transaction) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'telemetry'").fetchone()
    return int(row[0]) if row else 0


def _bounds(connection: Transaction) -> Bounds:
    last = _newest(connection)
    (first,) = connection.execute("SELECT min(sequence) FROM telemetry").fetchone()
    row = connection.execute("SELECT enqueued FROM telemetry WHERE sequence = ?", (last,)).fetchone()
    return Bounds(last + 1 if first is None else first, last, row[0] if row else None)


def _before_time(connection: Transaction, moment: str) -> int:
    low, high = _bounds(connection).first - 1, _newest(connection)
    while low < high:
        middle = (low + high + 1) // 2
        row = connection.execute("SELECT enqueued FROM telemetry WHERE sequence = ?", (middle,)).fetchone()
        # A gap in the numbers counts as old: whatever follows it decides.
        is_old = row is None or row[0] < moment
        low, high = (middle, high) if is_old else (low, middle - 1)
    return low


def _trim(connection: Transaction, oldest: str, keep_messages: int) -> int:
    # Only the front of the log is looked at: the writer must not read it all while devices wait.
    sql = (
        "DELETE FROM telemetry WHERE sequence IN (SELECT sequence FROM"
        " (SELECT sequence, enqueued FROM telemetry ORDER BY sequence LIMIT ?)"
        " WHERE enqueued < ? OR sequence <= (SELECT max(sequence) FROM telemetry) - ?)"
    )
    return connection.execute(sql, (TRIM_ROWS, oldest, keep_messages)).rowcount


def _trim_bytes(connection: Transaction, keep_bytes: int) -> int:
    """Drop the oldest until the pages in use fit; the file keeps its length, and they are used again."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    over = min((pages - free) * size - keep_bytes, TRIM_BYTES)
    if over <= 0:
        return 0
    sql = (
        "SELECT sequence, length(body) + length(properties) + length(system) + ? FROM telemetry"
        " ORDER BY sequence LIMIT ?"
    )
    last = None
    for sequence, row_bytes in connection.execute(sql, (ROW_BYTES, TRIM_ROWS)):
        last = sequence
        over -= row_bytes
        if over <= 0:
            break
    if last is None:
        return 0
    return connection.execute("DELETE FROM telemetry WHERE sequence <= ?", (last,)).rowcount
