"""Rates: each caller may ask for so much a second, by a bucket of tokens per kind of request."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from dataclasses import dataclass

from skerry.clock import Clock
from skerry.contract.hub_limits import Limits, Operation, Rate
from skerry.errors import Throttled

# Callers remembered; one that is forgotten begins with a full bucket, as if it had rested.
BUCKETS_MAX = 100_000
# Telemetry over its rate waits so long at most, then it is refused: shaped first, as Azure does.
SHAPE_MAX_S = 10.0


@dataclass(slots=True)
class Bucket:
    """``tokens`` at the time ``at``; below nothing, somebody waits for those to come."""

    tokens: float
    at: float

    def fill(self, rate: Rate, now: float) -> None:
        """What came since it was looked at last."""
        self.tokens = min(self.tokens + (now - self.at) * rate.per_s, float(rate.burst))
        self.at = now


class Throttle:
    """The rates of one hub; ``refused`` counts by kind of request."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self.limits = limits
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, Operation], Bucket] = OrderedDict()
        self._lines: dict[str, asyncio.Lock] = {}
        self.refused: Counter[Operation] = Counter()

    def take(self, caller: str, kind: Operation) -> None:
        """Count one request; raises Throttled with ``retry_after_s``."""
        rate = self.limits.rates.get(kind)
        if rate is None:
            return
        bucket = self._bucket(caller, kind, rate)
        if bucket.tokens < 1:
            raise self._refused(caller, kind, rate, 1 - bucket.tokens)
        bucket.tokens -= 1

    def shapes(self, kind: Operation) -> bool:
        """Whether requests of this kind have a rate at all."""
        return kind in self.limits.rates

    async def shape(self, caller: str, kind: Operation) -> None:
        """Count one request and wait until it fits, in order; raises Throttled when too many wait."""
        rate = self.limits.rates[kind]
        bucket, debt = self._bucket(caller, kind, rate), rate.per_s * SHAPE_MAX_S
        if bucket.tokens < 1 - debt:
            raise self._refused(caller, kind, rate, 1 - debt - bucket.tokens)
        bucket.tokens -= 1
        line = self._lines.setdefault(caller, asyncio.Lock())
        if bucket.tokens < 0 or line.locked():
            due = bucket.at - bucket.tokens / rate.per_s
            async with line:
                await self._clock.sleep(max(due - self._clock.monotonic(), 0.0))
        if not line.locked():
            self._lines.pop(caller, None)

    def _bucket(self, caller: str, kind: Operation, rate: Rate) -> Bucket:
        key, now = (caller, kind), self._clock.monotonic()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(float(rate.burst), now)
            if len(self._buckets) > BUCKETS_MAX:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
            bucket.fill(rate, now)
        return bucket

    def _refused(self, caller: str, kind: Operation, rate: Rate, missing: float) -> Throttled:
        self.refused[kind] += 1
        return Throttled(
            f"{caller} is over its rate of {kind.value}",
            hint=f"{rate.per_s:.3g} a second, {rate.burst} at once",
            retry_after_s=missing / rate.per_s,
        )
