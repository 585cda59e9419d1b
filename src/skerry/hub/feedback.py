"""Notices that services read and complete: what became of their messages, which files were uploaded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skerry.clock import Clock, iso
from skerry.errors import PreconditionFailed
from skerry.hub import command_rows as rows
from skerry.hub.fresh import fresh_lock
from skerry.store.storage import Storage, Transaction

# Azure's: records per batch, how long a reader may take, how often a batch is tried.
BATCH_MAX = 64
LOCK_S = 60.0
DELIVERIES_MAX = 10


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that are held for one reader until it answers by ``lock``."""

    lock: str
    records: Sequence[dict[str, Any]]


class Feedback:
    """The records nobody has read yet; a batch whose reader does not answer is handed out again."""

    def __init__(
        self, database: Storage, clock: Clock, kind: str = "command", batch_max: int = BATCH_MAX
    ) -> None:
        self._database = database
        self._clock = clock
        self._kind = kind
        self._batch_max = batch_max
        self._held: dict[str, tuple[float, tuple[int, ...]]] = {}
        self._changed = asyncio.Event()

    def arrived(self) -> None:
        """There may be new records: whoever waits looks."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def take(self, lock_s: float = LOCK_S) -> Batch | None:
        """The oldest records, held for ``lock_s`` seconds; ``None`` when there are none."""
        now = self._clock.monotonic()
        self._held = {lock: hold for lock, hold in self._held.items() if hold[0] > now}
        held = frozenset(number for _, numbers in self._held.values() for number in numbers)
        found = self._database.read_now(
            lambda connection: rows.feedback(connection, self._kind, held, self._batch_max)
        )
        if not found:
            return None
        lock, numbers = fresh_lock(), tuple(number for number, _ in found)
        # Held before the first wait, so that nobody else takes them.
        self._held[lock] = (now + lock_s, numbers)
        today = iso(self._clock.now())

        def work(connection: Transaction) -> None:
            rows.hand_out_feedback(connection, numbers, DELIVERIES_MAX, today)

        await self._database.write(work)
        return Batch(lock, [record for _, record in found])

    async def take_or_wait(self, lock_s: float = LOCK_S) -> Batch:
        """As ``take``, but wait for records; looks again when a reader's time is over."""
        while True:
            changed = self._changed
            batch = await self.take(lock_s)
            if batch is not None:
                return batch
            now = self._clock.monotonic()
            next_lapse = min((until for until, _ in self._held.values()), default=now + LOCK_S)
            try:
                await asyncio.wait_for(changed.wait(), max(next_lapse - now, 0.01))
            except TimeoutError:
                continue

    async def complete(self, lock: str) -> None:
        """The records were read; PreconditionFailed when the lock was lost."""
        numbers = self._pop(lock)
        await self._database.write(lambda connection: rows.drop_feedback(connection, numbers))

    def abandon(self, lock: str) -> None:
        """Hand the records out again; PreconditionFailed when the lock was lost."""
        self._pop(lock)
        self.arrived()

    def _pop(self, lock: str) -> tuple[int, ...]:
        until, numbers = self._held.pop(lock, (0.0, ()))
        if until <= self._clock.monotonic():
            raise PreconditionFailed("the lock was lost", hint="fetch the feedback again", field="lockToken")
        return numbers
