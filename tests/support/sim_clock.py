"""A machine's clock in a simulation: time passes faster, and the wall time can be stepped."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta


class SimClock:
    """``speed`` seconds pass in one; ``step`` moves the wall time as a bad battery or NTP does."""

    def __init__(self, speed: float = 50.0) -> None:
        self._speed = speed
        self._began = time.monotonic()
        self._start = datetime.now(UTC)
        self._offset = timedelta()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic()) + self._offset

    def monotonic(self) -> float:
        return (time.monotonic() - self._began) * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)

    def step_to(self, moment: datetime) -> None:
        self._offset += moment - self.now()

    def heal(self) -> None:
        """The right time again."""
        self._offset = timedelta()
