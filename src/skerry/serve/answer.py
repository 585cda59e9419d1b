"""What a prediction says, and the two settings that cut it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from skerry.errors import InvalidInput
from skerry.package.postprocess import OutputAnswer, Prediction
from skerry.package.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Settings:
    """How answers are cut: the ``top_k`` best whose score is at least ``threshold``."""

    top_k: int = 3
    threshold: float = 0.0

    @classmethod
    def of(cls, recipe: Recipe) -> Settings:
        """What the package says, until the twin says otherwise."""
        return cls(recipe.output.top_k, recipe.output.threshold)

    def __post_init__(self) -> None:
        if isinstance(self.top_k, bool) or not isinstance(self.top_k, int) or self.top_k < 1:
            raise InvalidInput("topK must be a whole number from 1 on", field="topK", value=self.top_k)
        fits = isinstance(self.threshold, int | float) and not isinstance(self.threshold, bool)
        if not fits or not 0 <= self.threshold <= 1:
            raise InvalidInput(
                "threshold must be a number from 0 to 1", field="threshold", value=self.threshold
            )


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds per stage of one image; ``infer`` is the time of the batch it was in.

    ``prepare`` is what the caller waited for: ``decode`` and ``preprocess`` and their queue.
    """

    prepare: float
    queue: float
    infer: float
    total: float
    decode: float = 0.0
    preprocess: float = 0.0
    post: float = 0.0


@dataclass(frozen=True, slots=True)
class Scored:
    """One image's answer, with all that is needed to trace it back."""

    predictions: tuple[Prediction, ...]
    probabilities: str
    """``sha256:…`` of the probabilities as little-endian float32."""
    margin: float
    """Best score minus second best: how sure the model is."""
    input: str
    """``sha256:…`` of the image bytes."""
    model: str
    """The package's digest."""
    recipe: str
    """The digest of the preprocessing recipe."""
    batch: int
    latency: Latency
    at: datetime
    """The device's time when the answer was ready."""
    further: tuple[OutputAnswer, ...] = ()
    """What the model's other outputs say."""
