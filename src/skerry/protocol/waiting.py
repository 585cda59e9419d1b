"""Waiting with a bound in the time of a given clock."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from skerry.clock import Clock
from skerry.errors import TimedOut

T = TypeVar("T")


async def within(future: asyncio.Future[T], seconds: float, clock: Clock, what: str) -> T:
    """The result of ``future``; TimedOut saying ``what`` when it takes longer, and then it is cancelled."""
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((future, alarm), return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            raise TimedOut(f"{what} within {seconds:g} s", seconds=seconds)
        return future.result()
    finally:
        future.cancel()
        alarm.cancel()
        await asyncio.wait((alarm,))
