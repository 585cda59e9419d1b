"""From the model's numbers to named predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skerry.errors import Damaged
from skerry.package.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer: the label's id and name, its score in 0..1, its place in the label list."""

    id: str
    label: str
    score: float
    index: int


def scores(output: NDArray[np.float32], recipe: Recipe) -> NDArray[np.float32]:
    """One score per label, float32 [labels], from the model's output for one image [outputs].

    Damaged when the output has another size than the recipe says, or holds NaN.
    """
    values = np.asarray(output, np.float32).reshape(-1)
    if values.size != recipe.output.size:
        raise Damaged(
            f"the model gave {values.size} numbers, the recipe expects {recipe.output.size}",
            got=int(values.size),
            expected=recipe.output.size,
        )
    if np.isnan(values).any():
        raise Damaged("the model gave a score that is not a number")
    if recipe.output.kind == "binary":
        return np.array([1 - values[0], values[0]], np.float32)
    if recipe.output.kind == "logits":
        raised = np.exp(values - values.max())
        return np.asarray(raised / raised.sum(), np.float32)
    return values


def top_k(
    probabilities: NDArray[np.float32], recipe: Recipe, k: int | None = None, threshold: float = 0.0
) -> list[Prediction]:
    """The ``k`` best labels (the recipe's top_k if None) with a score of at least ``threshold``.

    Best first; equal scores in label order. ``probabilities`` is the model's output for one image.
    """
    return best(scores(probabilities, recipe), recipe, recipe.output.top_k if k is None else k, threshold)


def best(values: NDArray[np.float32], recipe: Recipe, k: int, threshold: float = 0.0) -> list[Prediction]:
    """As ``top_k``, of what ``scores`` gave."""
    labels = recipe.output.labels
    places = np.argsort(-values, kind="stable")[: max(k, 0)].tolist()
    return [
        Prediction(labels[place].id, labels[place].name, score, place)
        for place, score in zip(places, values[places].tolist(), strict=True)
        if score >= threshold
    ]
