"""What the CNN module counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Sequence

from skerry.errors import SkerryError
from skerry.serve.answer import Scored
from skerry.service.metrics import Metrics

STAGES = ("prepare", "queue", "infer", "total")


class Measures:
    """The process's counters, by front and by stage."""

    def __init__(self) -> None:
        self._metrics = Metrics()
        self._scored = self._metrics.counter("skerry_serve_images_scored", "Images answered", ["front"])
        self._refused = self._metrics.counter(
            "skerry_serve_requests_refused", "Requests refused", ["front", "reason"]
        )
        self._latency = self._metrics.histogram(
            "skerry_serve_stage_seconds", "Time of one image in a stage", ["stage"]
        )
        self._stages = {stage: self._latency.labels(stage) for stage in STAGES}
        self._waiting = self._metrics.gauge(
            "skerry_serve_images_waiting", "Images admitted and not answered yet"
        )

    def scored(self, front: str, results: Sequence[Scored]) -> None:
        """Count answers given to a front."""
        self._scored.labels(front).inc(len(results))
        for each in results:
            for stage, histogram in self._stages.items():
                histogram.observe(getattr(each.latency, stage) / 1000)

    def refused(self, front: str, error: SkerryError) -> None:
        """Count a request that got an error, by the error's kind."""
        self._refused.labels(front, type(error).__name__).inc()

    def exposition(self, waiting: int) -> bytes:
        """All of it as text, to be served with ``service.metrics.CONTENT_TYPE``."""
        self._waiting.set(waiting)
        return self._metrics.exposition()
