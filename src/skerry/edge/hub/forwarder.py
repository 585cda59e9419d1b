"""Brings what is queued for one endpoint to it: in order, a window at a time, for ever.

An entry goes QUEUED → FLYING (sent, not acknowledged) → REMOVED. When a send fails, everything FLYING is
QUEUED again and sending resumes at the oldest, once the endpoint is ready: duplicates are possible, loss and
overtaking within the endpoint's priority are not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from skerry.clock import Clock
from skerry.errors import Damaged, InvalidInput, SkerryError, TooLarge, Unavailable
from skerry.mqtt.outcome import Outcome
from skerry.store.queue import Cursor, Queue, Stored

log = logging.getLogger(__name__)

# Enough to keep a link with 100 ms of delay busy at 1000 messages a second.
WINDOW = 100
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 10.0

# Called in the order of the queue; an outcome saves a task per message, what is raised counts as its error.
Deliver = Callable[[Stored], Awaitable[None]]


class _Flight:
    """One message under way; ``land`` is told when it arrived or failed."""

    __slots__ = ("_land", "error", "landed", "outcome", "started", "stored", "task")

    def __init__(self, stored: Stored, started: float, land: Callable[[_Flight], None]) -> None:
        self.stored = stored
        self.started = started
        self.landed = False
        self.error: BaseException | None = None
        self.task: asyncio.Future[None] | None = None
        self.outcome: Outcome | None = None
        self._land: Callable[[_Flight], None] | None = land

    def take_off(self, deliver: Deliver) -> None:
        try:
            work = deliver(self.stored)
        except SkerryError as error:
            self.end(error)
            return
        if isinstance(work, Outcome):
            self.outcome = work
            work.then(self._settled)
        else:
            self.task = asyncio.ensure_future(work)
            self.task.add_done_callback(self._done)

    def end(self, error: BaseException | None) -> None:
        self.landed, self.error = True, error
        if self._land is not None:
            self._land(self)

    def abandon(self) -> None:
        """Nobody wants to hear of it any more."""
        self._land = None
        if self.task is not None:
            self.task.cancel()
        if self.outcome is not None:
            # Who still holds the message lets go of it: it must not be sent after later ones.
            self.outcome.settle(Unavailable("sending was given up"))

    @property
    def arrived(self) -> bool:
        return self.landed and self.error is None

    def _settled(self, outcome: Outcome) -> None:
        self.end(outcome.error)

    def _done(self, task: asyncio.Future[None]) -> None:
        self.end(Unavailable("sending was cancelled") if task.cancelled() else task.exception())


class Forwarder:
    """Drains one endpoint. ``ready`` returns when the endpoint takes messages; ``deliver`` when it has one.

    ``before_remove`` is awaited with entries that are delivered and about to leave the queue; ``delivered``
    is told of each and the seconds it took, ``failed`` of the endpoint, how many have to go again, and why.
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
        delivered: Callable[[Stored, float], None] | None = None,
        failed: Callable[[str, int, str], None] | None = None,
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
        self._failed = failed
        self._window = window
        self._cursor: Cursor | None = None
        self._arrived = queue.waiter(endpoint)
        self._landed: list[_Flight] = []
        self._flying: dict[int, _Flight] = {}

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
                if self._failed is not None:
                    self._failed(self.endpoint, len(self._flying), type(error).__name__)
            finally:
                await self._ground()
            await self._clock.sleep(min(RETRY_FIRST_S * 2 ** min(failures - 1, 10), RETRY_MAX_S))

    async def _drain(self) -> None:
        while True:
            # One event for both: entries that arrive, messages that land.
            self._arrived.clear()
            await self._launch()
            if not self._landed:
                await self._arrived.wait()
            await self._land()

    async def _launch(self) -> None:
        """Send what fits into the window."""
        room = self._window - len(self._flying)
        if room <= 0:
            return
        limit = room if self._cursor is not None else self._window
        now = self._clock.monotonic()
        for stored in await self._queue.peek(self.endpoint, self._cursor, limit):
            if stored.sequence in self._flying:
                continue
            if len(self._flying) >= self._window:
                break
            flight = self._flying[stored.sequence] = _Flight(stored, now, self._land_soon)
            self._cursor = stored.cursor
            flight.take_off(self._deliver)

    def _land_soon(self, flight: _Flight) -> None:
        self._landed.append(flight)
        self._arrived.set()

    async def _land(self) -> None:
        """Remove what was delivered; raises the first failure."""
        landed, self._landed = self._landed, []
        now = self._clock.monotonic()
        gone: list[Stored] = []
        failure: BaseException | None = None
        for flight in landed:
            stored, error = flight.stored, flight.error
            if error is None:
                gone.append(stored)
                self.sent += 1
                if self._delivered is not None:
                    self._delivered(stored, now - flight.started)
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
        flights = list(self._flying.values())
        tasks = [flight.task for flight in flights if flight.task is not None]
        for flight in flights:
            flight.abandon()
        await asyncio.gather(*tasks, return_exceptions=True)
        done = [flight.stored for flight in flights if flight.arrived]
        self._flying.clear()
        self._landed.clear()
        self._cursor = None
        await self._remove(done)
