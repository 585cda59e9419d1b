"""Counts and distributions that cost next to nothing to add to, shown to Prometheus on demand."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import ItemsView, Iterable, Sequence
from typing import TYPE_CHECKING

# Prometheus' library takes 30 ms and 4 MB: loaded when somebody asks for the numbers, not at the start.
if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector
else:
    Collector = object

# A model of 21,843 classes shall not make a page of as many lines: those met first, and the rest together.
KEYS_MAX = 1000
OTHER = "(other)"


class Tally(Collector):
    """Counters by label values; used by one thread."""

    def __init__(self, name: str, documentation: str, *labels: str) -> None:
        self._name, self._documentation, self._labels = name, documentation, labels
        self._counts: dict[tuple[str, ...], int] = {}

    def add(self, count: int, *values: str) -> None:
        """Add to the counter with these label values."""
        before = self._counts.get(values)
        if before is None and len(self._counts) >= KEYS_MAX:
            values = (OTHER,) * len(values)
            before = self._counts.get(values)
        self._counts[values] = (before or 0) + count

    def items(self) -> ItemsView[tuple[str, ...], int]:
        """Each counter by its label values."""
        return self._counts.items()

    def collect(self) -> Iterable[Metric]:
        from prometheus_client.core import CounterMetricFamily

        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, count in self._counts.items():
            family.add_metric(values, count)
        yield family


class Spread(Collector):
    """Histograms by one label's value (no label if its name is empty); used by one thread."""

    def __init__(self, name: str, documentation: str, label: str, bounds: Sequence[float]) -> None:
        self._name, self._documentation = name, documentation
        self._labels = (label,) if label else ()
        self._bounds = tuple(bounds)
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, amount: float, value: str) -> None:
        """Add ``amount`` to the histogram with this label value."""
        counts = self._counts.get(value)
        if counts is None:
            counts = self._counts[value] = [0] * (len(self._bounds) + 1)
            self._sums[value] = 0.0
        counts[bisect_left(self._bounds, amount)] += 1
        self._sums[value] += amount

    def counts(self, value: str) -> list[int]:
        """How many fell into each step of the histogram with this label value, the last without a bound."""
        return list(self._counts.get(value) or [0] * (len(self._bounds) + 1))

    def collect(self) -> Iterable[Metric]:
        from prometheus_client.core import HistogramMetricFamily

        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        names = [*map(str, self._bounds), "+Inf"]
        for value, counts in self._counts.items():
            sums = [sum(counts[: place + 1]) for place in range(len(counts))]
            labels = (value,) if self._labels else ()
            family.add_metric(labels, list(zip(names, sums, strict=True)), self._sums[value])
        yield family
