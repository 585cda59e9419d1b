"""Carries the hub's own events from the database of their changes to the event log, each exactly once."""

from __future__ import annotations

import asyncio
import logging

from skerry.clock import Clock
from skerry.errors import SkerryError
from skerry.hub import outbox_rows
from skerry.hub.changes import Changes
from skerry.hub.journal import Journal
from skerry.hub.telemetry import Telemetry
from skerry.store.storage import Storage

log = logging.getLogger(__name__)

BATCH = 200
AFTER_ERROR_S = 5.0


class Outbox:
    """The event log remembers the number of the last event it took, so a crash in between repeats none."""

    def __init__(
        self, database: Storage, telemetry: Telemetry, journal: Journal, changes: Changes, clock: Clock
    ) -> None:
        self._database = database
        self._telemetry = telemetry
        self._clock = clock
        self._wake = asyncio.Event()
        journal.on_written = self._wake.set
        changes.listen(lambda identity, what: self._wake.set())

    async def prepare(self) -> None:
        """Before anything is served: number new events after all that the event log knows.

        A restored copy of the hub may be a blink older than that of its event log.
        """
        known = await self._telemetry.taken_over()
        await self._database.write(lambda connection: outbox_rows.number_after(connection, known))

    async def run(self) -> None:
        """Carry over what waits and what comes, for ever."""
        while True:
            self._wake.clear()
            try:
                await self.empty()
            except SkerryError as failed:
                log.error("events of the hub wait: %s", failed)
                await self._clock.sleep(AFTER_ERROR_S)
                continue
            await self._wake.wait()

    async def empty(self) -> None:
        """Carry over everything that waits now."""
        while waiting := await self._database.read(lambda c: outbox_rows.oldest(c, BATCH)):
            await self._telemetry.take_over([(one.number, one.columns) for one in waiting])
            await self._drop(waiting[-1].number)

    async def _drop(self, through: int) -> None:
        await self._database.write(lambda connection: outbox_rows.drop(connection, through))
