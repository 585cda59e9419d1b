"""Numbers that grow per message, shown to Prometheus when it asks.

Prometheus' own counters take a lock for each step, which costs more than all the rest of a small message.
These belong to one thread, the event loop's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp, floor, log, nan

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

# Azure's edgeHub shows these (contract.md §6.12).
SHARES = (0.5, 0.9, 0.95, 0.99, 0.999, 0.9999)
# Buckets are 4 % wide; from a microsecond (or byte) to a terabyte there are a thousand and sixty.
PER_LOG = 1 / log(1.04)
LEAST, MOST = 1e-6, 1e12


class Count:
    """One number."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Counts(Collector):
    """Numbers by label values; hold on to the ``Count`` that grows often."""

    def __init__(
        self, registry: CollectorRegistry, name: str, documentation: str, labels: Sequence[str]
    ) -> None:
        self._name, self._documentation, self._labels = name, documentation, tuple(labels)
        self._counts: dict[tuple[str, ...], Count] = {}
        registry.register(self)

    def labels(self, *values: str) -> Count:
        if (count := self._counts.get(values)) is None:
            count = self._counts[values] = Count()
        return count

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, count in self._counts.items():
            family.add_metric(values, count.value)
        yield family


class Quantiles:
    """How the values of one thing lie, each within two percent, in bounded memory."""

    __slots__ = ("_buckets", "count", "sum")

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0.0
        self._buckets: dict[int, int] = {}

    def add(self, value: float, times: int = 1) -> None:
        self.count += times
        self.sum += value * times
        bucket = floor(log(min(max(value, LEAST), MOST)) * PER_LOG)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + times

    def value(self, share: float) -> float:
        """What so large a share of the values does not exceed; NaN when there are none."""
        left = share * self.count
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                return exp((bucket + 0.5) / PER_LOG)
        return nan


class Summaries(Collector):
    """Quantiles by label values, those that Azure's edgeHub shows."""

    def __init__(
        self, registry: CollectorRegistry, name: str, documentation: str, labels: Sequence[str]
    ) -> None:
        self._name, self._documentation, self._labels = name, documentation, tuple(labels)
        self._quantiles: dict[tuple[str, ...], Quantiles] = {}
        registry.register(self)

    def labels(self, *values: str) -> Quantiles:
        if (quantiles := self._quantiles.get(values)) is None:
            quantiles = self._quantiles[values] = Quantiles()
        return quantiles

    def collect(self) -> Iterator[Metric]:
        family = Metric(self._name, self._documentation, "summary")
        for values, quantiles in self._quantiles.items():
            named = dict(zip(self._labels, values, strict=True))
            for share in SHARES:
                family.add_sample(self._name, {**named, "quantile": str(share)}, quantiles.value(share))
            family.add_sample(f"{self._name}_count", named, quantiles.count)
            family.add_sample(f"{self._name}_sum", named, quantiles.sum)
        yield family
