"""The numbers a process shows to Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, exposition
from prometheus_client.metrics_core import Metric

from skerry.service.tallies import Counts, Summaries

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# From a loopback hop to a device that has to decode a large image on a slow CPU.
SECONDS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One registry of its own per process or test; names are unique in it (ValueError otherwise)."""

    def __init__(self, *, process: bool = True) -> None:
        self.registry = CollectorRegistry()
        self.common: Mapping[str, str] = {}
        if process:
            ProcessCollector(registry=self.registry)

    def counter(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
        """A number that only grows."""
        return Counter(name, documentation, labels, registry=self.registry)

    def gauge(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
        """A number that goes up and down."""
        return Gauge(name, documentation, labels, registry=self.registry)

    def histogram(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = SECONDS_BUCKETS,
    ) -> Histogram:
        """How values spread; the default buckets are seconds."""
        return Histogram(name, documentation, labels, buckets=buckets, registry=self.registry)

    def counts(self, name: str, documentation: str, labels: Sequence[str]) -> Counts:
        """A counter for what happens per message."""
        return Counts(self.registry, name, documentation, labels)

    def summaries(self, name: str, documentation: str, labels: Sequence[str]) -> Summaries:
        """Quantiles, of what happens per message too."""
        return Summaries(self.registry, name, documentation, labels)

    def exposition(self) -> bytes:
        """All of them as text, to be served with ``CONTENT_TYPE``; each with the ``common`` labels."""
        return exposition.generate_latest(_Labelled(self.registry, self.common))


class _Labelled(CollectorRegistry):
    """A registry's numbers with labels that are the same for all."""

    def __init__(self, registry: CollectorRegistry, common: Mapping[str, str]) -> None:
        super().__init__()
        self._registry = registry
        self._common = common

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            if self._common:
                metric.samples = [
                    sample._replace(labels={**sample.labels, **self._common}) for sample in metric.samples
                ]
            yield metric
