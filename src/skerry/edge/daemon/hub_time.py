"""The time as the hub has it, to judge certificates by on a device whose own clock may be wrong."""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from skerry.clock import Clock


class HubTime:
    """Learns from the ``Date`` of the hub's answers, and goes on from there by monotonic time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard: tuple[datetime, float] | None = None

    def heard(self, date: str | None) -> None:
        """What an HTTP answer says; anything else than a date is ignored."""
        try:
            moment = parsedate_to_datetime(date or "")
        except (ValueError, TypeError):
            return
        if moment.tzinfo is not None:
            self._heard = (moment, self._clock.monotonic())

    def now(self) -> datetime | None:
        """None until the hub was heard since this start."""
        if self._heard is None:
            return None
        moment, then = self._heard
        return moment + timedelta(seconds=self._clock.monotonic() - then)
