"""The only place that reads the time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

# Nothing of this release can have run before; a machine without a battery starts in 1970.
EARLIEST = datetime(2025, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Wall time to talk about, monotonic time to measure with, and a way to wait."""

    def now(self) -> datetime:
        """The wall time, aware, in UTC. It may jump."""

    def monotonic(self) -> float:
        """Seconds that never go backwards."""

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds`` of monotonic time."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that moves only when told to; sleepers wake in order."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + max(seconds, 0.0), next(self._order), woken))
        await woken

    def set(self, now: datetime) -> None:
        """Step the wall clock, as a bad battery or NTP would; monotonic time stands still."""
        self._now = now

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, waking every sleeper that is due at its own moment."""
        target = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, woken = heapq.heappop(self._sleepers)
            self._pass(due - self._monotonic)
            if not woken.done():
                woken.set_result(None)
            await _settle()
        self._pass(target - self._monotonic)
        await _settle()

    def _pass(self, seconds: float) -> None:
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds)


# Enough turns of the loop for a woken task to reach its next wait.
SETTLE_TURNS = 20


async def _settle() -> None:
    for _ in range(SETTLE_TURNS):
        await asyncio.sleep(0)


def iso(moment: datetime) -> str:
    """``2026-11-22T08:30:00.123456Z``, as Azure's documents write times."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
