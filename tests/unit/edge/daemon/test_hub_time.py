"""The hub's time on a device whose clock is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from skerry.clock import ManualClock
from skerry.edge.daemon.hub_time import HubTime


async def test_it_goes_on_from_what_was_heard_whatever_the_clock_does() -> None:
    clock = ManualClock(datetime(1970, 1, 1, tzinfo=UTC))
    time = HubTime(clock)
    assert time.now() is None
    for nonsense in (None, "", "yesterday", "Mon, 99 Nov 2026 18:00:00 GMT"):
        time.heard(nonsense)
        assert time.now() is None
    time.heard("Mon, 23 Nov 2026 18:00:00 GMT")
    await clock.advance(90)
    clock.set(datetime(2060, 1, 1, tzinfo=UTC))
    assert time.now() == datetime(2026, 11, 23, 18, 1, 30, tzinfo=UTC)
    time.heard("Mon, 23 Nov 2026 19:00:00 GMT")
    assert time.now() == datetime(2026, 11, 23, 18, 0, tzinfo=UTC) + timedelta(hours=1)
