"""Brings what is queued for one endpoint to it: in order, a window at a time, for ever.

An entry goes QUEUED → FLYING (sent, not acknowledged) → REMOVED. When a send fails, everything FLYING is
QUEUED again and sending resumes at the oldest, once the endpoint is ready: duplicates are possible, loss and
overtaking within the endpoint's priority are not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from skerry.clock import Clock
from skerry.errors import Damaged, InvalidInput, SkerryError, TooLarge, Unavailable
from skerry.store.queue import Cursor, Queue, Stored

log = logging.getLogger(__name__)

# Enough to keep a link with 100 ms of delay busy at 1000 messages a second.
WINDOW = 100
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 10.0

# Called in the order of the queue; a future saves a task per message, what is raised counts as its error.
Deliver = Callable[[Stored], Awaitable[None]]


class Forwarder:
    """Drains one endpoint. ``ready`` returns when the endpoint takes messages; ``deliver`` when it has one.

    ``before_remove`` is awaited with entries that are delivered and about to leave the queue; ``delivered``
    is told of each.
    """

    def __init__(
        self,
        endpoint: str,
        queue: Queue,
        deliver: Deliver,
        ready: Callable[[], Awaitable[None]],
        *,
        clock: Clock,
        before_remove: Callable[[Sequence[Stored]], Awaitable[None]] | None = None,
        delivered: Callable[[Stored], None] | None = None,
        window: int = WINDOW,
    ) -> None:
        self.endpoint = endpoint
        self.sent = 0
        self.dropped = 0
        self._queue = queue
        self._deliver = deliver
        self._ready = ready
        self._clock = clock
        self._before_remove = before_remove
        self._delivered = delivered
        self._window = window
        self._cursor: Cursor | None = None
        self._arrived = queue.waiter(endpoint)
        self._landed = asyncio.Event()
        self._flying: dict[int, tuple[Stored, asyncio.Future[None]]] = {}

    def appended(self, priority: int) -> None:
        """An entry of ``priority`` was stored: one better than where we are must be looked for again."""
        if self._cursor is not None and priority < self._cursor.priority:
            self._cursor = None

    async def run(self) -> None:
        """Drain until cancelled."""
        failures = 0
        while True:
            await self._ready()
            before = self.sent
            try:
                await self._drain()
            except SkerryError as error:
                failures = 1 if self.sent > before else failures + 1
                log.debug("%s: %s; sending again from the oldest", self.endpoint, error)
            finally:
                await self._ground()
            await self._clock.sleep(min(RETRY_FIRST_S * 2 ** min(failures - 1, 10), RETRY_MAX_S))

    async def _drain(self) -> None:
        arrival: asyncio.Future[Any] = asyncio.ensure_future(asyncio.sleep(0))
        landing = arrival
        try:
            while True:
                self._arrived.clear()
                full = await self._launch()
                if arrival.done():
                    arrival = asyncio.ensure_future(self._arrived.wait())
                if landing.done():
                    landing = asyncio.ensure_future(self._landed.wait())
                await asyncio.wait(
                    [landing] if full else [landing, arrival], return_when=asyncio.FIRST_COMPLETED
                )
                await self._land()
        finally:
            arrival.cancel()
            landing.cancel()

    async def _launch(self) -> bool:
        """Send what fits into the window; whether it is full."""
        room = self._window - len(self._flying)
        if room > 0:
            limit = room if self._cursor is not None else self._window
            found = await self._queue.peek(self.endpoint, self._cursor, limit)
            for stored in found[: room + len(self._flying)]:
                if stored.sequence not in self._flying and len(self._flying) < self._window:
                    task = self._start(stored)
                    task.add_done_callback(lambda _: self._landed.set())
                    self._flying[stored.sequence] = (stored, task)
                    self._cursor = stored.cursor
        return len(self._flying) >= self._window

    def _start(self, stored: Stored) -> asyncio.Future[None]:
        try:
            return asyncio.ensure_future(self._deliver(stored))
        except SkerryError as error:
            refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            refused.set_exception(error)
            return refused

    async def _land(self) -> None:
        """Remove what was delivered; raises the first failure."""
        self._landed.clear()
        landed = [(stored, task) for stored, task in self._flying.values() if task.done()]
        gone: list[Stored] = []
        failure: BaseException | None = None
        for stored, task in landed:
            error = Unavailable("sending was cancelled") if task.cancelled() else task.exception()
            if error is None:
                gone.append(stored)
                self.sent += 1
                if self._delivered is not None:
                    self._delivered(stored)
            elif isinstance(error, InvalidInput | TooLarge | Damaged):
                # It can never be delivered; holding everything behind it back would help nobody.
                log.error("%s: dropped entry %d: %s", self.endpoint, stored.sequence, error)
                gone.append(stored)
                self.dropped += 1
            else:
                failure = failure or error
                continue
            del self._flying[stored.sequence]
        await self._remove(gone)
        if failure is not None:
            raise failure

    async def _remove(self, gone: Sequence[Stored]) -> None:
        if gone:
            if self._before_remove is not None:
                await self._before_remove(gone)
            await self._queue.remove(self.endpoint, [stored.sequence for stored in gone])

    async def _ground(self) -> None:
        """Nothing flies any more; what had arrived by now is removed, the rest waits in the queue."""
        tasks = [task for _, task in self._flying.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        done = [s for s, task in self._flying.values() if not task.cancelled() and task.exception() is None]
        self._flying.clear()
        self._cursor = None
        await self._remove(done)
