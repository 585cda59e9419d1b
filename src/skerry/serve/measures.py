"""What the CNN module counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from skerry.clock import iso
from skerry.errors import SkerryError
from skerry.serve.answer import Scored
from skerry.serve.latest import Superseded
from skerry.serve.tally import Spread, Tally

if TYPE_CHECKING:
    from skerry.service.metrics import Metrics

STAGES = ("decode", "preprocess", "prepare", "queue", "infer", "post", "total")

# Seconds, from what a small net takes to a large image on a slow CPU.
SECONDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# Scores: even steps, finer where a confident model lives.
CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


# A twin section holds 32 KiB (contract.md §2.6).
REPORTED_CLASSES_MAX, LABEL_CHARACTERS_MAX = 50, 100


class Measures:
    """The process's counters, by front, by stage, by class.

    Counting is a dictionary's work per image and not Prometheus' own, which costs a small net a third of
    its speed; the families are made when somebody asks.
    """

    def __init__(self) -> None:
        self._metrics: Metrics | None = None
        self._scored = Tally("skerry_serve_images_scored", "Images answered", "front")
        self._refused = Tally("skerry_serve_requests_refused", "Requests refused", "front", "reason")
        self._superseded = Tally("skerry_serve_images_superseded", "Images let go for a newer one", "front")
        self._classes = Tally("skerry_serve_class_predicted", "Images by their best class", "label")
        self._stages = Spread("skerry_serve_stage_seconds", "Time of one image in a stage", "stage", SECONDS)
        self._waiting = 0
        self._confidence = Spread("skerry_serve_confidence", "Score of the best class", "", CONFIDENCE)

    def scored(self, front: str, results: Sequence[Scored]) -> None:
        """Count answers given to a front."""
        self._scored.add(len(results), front)
        for each in results:
            latency = each.latency
            for stage in STAGES:
                self._stages.observe(getattr(latency, stage) / 1000, stage)
            if each.predictions:
                best = each.predictions[0]
                self._classes.add(1, best.label)
                self._confidence.observe(best.score, "")

    def inferred(self, front: str, count: int) -> None:
        """Count prepared inputs answered with the model's output."""
        self._scored.add(count, front)

    def refused(self, front: str, error: SkerryError) -> None:
        """Count a request that got an error, by the error's kind."""
        self._refused.add(1, front, type(error).__name__)
        if isinstance(error, Superseded):
            self._superseded.add(1, front)

    def class_counts(self) -> dict[str, int]:
        """How many images had each class as their best one, since the start."""
        return {labels[0]: count for labels, count in self._classes.items()}

    @property
    def images(self) -> int:
        """How many images were answered since the start."""
        return sum(count for _, count in self._scored.items())

    def report(self, now: datetime) -> dict[str, object]:
        """Counts and the confidence histogram since the start, small enough for a twin."""
        ranked = sorted(self.class_counts().items(), key=lambda item: -item[1])
        told, rest = ranked[:REPORTED_CLASSES_MAX], ranked[REPORTED_CLASSES_MAX:]
        # Nothing scores above the last bound, so the step beyond it is left out.
        steps = zip(CONFIDENCE, self._confidence.counts(""), strict=False)
        return {
            "at": iso(now),
            "images": self.images,
            "classes": [{"label": label[:LABEL_CHARACTERS_MAX], "images": count} for label, count in told],
            "otherClasses": sum(count for _, count in rest),
            "confidence": [{"upTo": bound, "images": count} for bound, count in steps],
        }

    def exposition(self, waiting: int) -> bytes:
        """All of it as text, to be served with ``service.metrics.CONTENT_TYPE``."""
        if self._metrics is None:
            self._metrics = self._registered()
        self._waiting = waiting
        return self._metrics.exposition()

    def _registered(self) -> Metrics:
        # Imported here: see tally.
        from skerry.service.metrics import Metrics

        metrics = Metrics()
        for collector in (
            self._scored,
            self._refused,
            self._superseded,
            self._classes,
            self._stages,
            self._confidence,
        ):
            metrics.registry.register(collector)
        waiting = metrics.gauge("skerry_serve_images_waiting", "Images admitted and not answered yet")
        waiting.set_function(lambda: self._waiting)
        return metrics
