"""The numbers a process shows to Prometheus."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, exposition

from skerry.service.tallies import Counts, Spreads

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# From a loopback hop to a device that has to decode a large image on a slow CPU.
SECONDS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One registry of its own per process or test; names are unique in it (ValueError otherwise)."""

    def __init__(self, *, process: bool = True) -> None:
        self.registry = CollectorRegistry()
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

    def spreads(
        self, name: str, documentation: str, labels: Sequence[str], buckets: Sequence[float] = SECONDS_BUCKETS
    ) -> Spreads:
        """A histogram for what happens per message."""
        return Spreads(self.registry, name, documentation, labels, buckets)

    def exposition(self) -> bytes:
        """All of them as text, to be served with ``CONTENT_TYPE``."""
        return exposition.generate_latest(self.registry)
