"""From the model's numbers to named predictions."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan

import numpy as np
from numpy.typing import NDArray

from skerry.errors import Damaged
from skerry.package.recipe import OutputSpec, Recipe

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer: the label's id and name, its score in 0..1, its place in the label list.

    Of a regression the label names the number, and ``score`` is the number.
    """

    id: str
    label: str
    score: float
    index: int


@dataclass(frozen=True, slots=True)
class OutputAnswer:
    """What one of the model's outputs says of an image."""

    name: str
    kind: str
    predictions: tuple[Prediction, ...]


def scores(output: F32, recipe: Recipe) -> F32:
    """One score per label of the main output, float32 [labels], from the model's numbers for one image.

    Damaged when they are not as many as the recipe says, or NaN.
    """
    return scores_of(checked(output, recipe)[: recipe.output.size], recipe.output)


def checked(output: F32, recipe: Recipe) -> F32:
    """The model's numbers for one image, as many as all outputs have; Damaged as ``scores``."""
    values = np.asarray(output, np.float32).reshape(-1)
    if values.size != recipe.numbers:
        raise Damaged(
            f"the model gave {values.size} numbers, the recipe expects {recipe.numbers}",
            got=int(values.size),
            expected=recipe.numbers,
        )
    # The sum of squares is NaN when one of them is, and quicker than looking at each.
    if isnan(values.dot(values)):
        raise Damaged("the model gave a score that is not a number")
    return values


def scores_of(values: F32, spec: OutputSpec) -> F32:
    """One score per label from one output's numbers; a regression's numbers stay as they are."""
    if spec.kind == "binary":
        return np.array([1 - values[0], values[0]], np.float32)
    if spec.kind == "binary-logit":
        share = 1 / (1 + np.exp(-np.clip(values[0], -80, 80)))
        return np.array([1 - share, share], np.float32)
    if spec.kind == "logits":
        raised = np.exp(values - values.max())
        return np.asarray(raised / raised.sum(), np.float32)
    return values


def further_answers(values: F32, recipe: Recipe) -> tuple[OutputAnswer, ...]:
    """What each output but the main one says, cut as the recipe says; ``values`` as ``checked`` gives."""
    return tuple(
        OutputAnswer(spec.name, spec.kind, tuple(_best(scores_of(values[place], spec), spec)))
        for spec, place in recipe.parts[1:]
    )


def top_k(
    probabilities: F32, recipe: Recipe, k: int | None = None, threshold: float | None = None
) -> list[Prediction]:
    """The ``k`` best labels of the main output with a score of at least ``threshold`` (None: the recipe's).

    Best first; equal scores in label order. ``probabilities`` are the model's numbers for one image. Of a
    regression all numbers, in order.
    """
    spec = recipe.output
    floor = spec.threshold if threshold is None else threshold
    return best(scores(probabilities, recipe), recipe, spec.top_k if k is None else k, floor)


def best(values: F32, recipe: Recipe, k: int, threshold: float = 0.0) -> list[Prediction]:
    """As ``top_k``, of what ``scores`` gave."""
    return _best(values, recipe.output, k, threshold)


def _best(
    values: F32, spec: OutputSpec, k: int | None = None, threshold: float | None = None
) -> list[Prediction]:
    labels = spec.labels
    if spec.kind == "regression":
        return [
            Prediction(label.id, label.name, value, place)
            for place, (label, value) in enumerate(zip(labels, values.tolist(), strict=True))
        ]
    count = spec.top_k if k is None else max(k, 0)
    floor = spec.threshold if threshold is None else threshold
    return [
        Prediction(labels[place].id, labels[place].name, score, place)
        for place, score in ranked(values, count)
        if score >= floor
    ]


# Up to here Python's sort is done before numpy's has begun.
FEW = 64


def ranked(values: F32, count: int) -> list[tuple[int, float]]:
    """The ``count`` highest values with their places, highest first; equal ones in order."""
    if values.size <= FEW:
        listed: list[float] = values.tolist()
        places = sorted(range(len(listed)), key=listed.__getitem__, reverse=True)[:count]
        return [(place, listed[place]) for place in places]
    found = np.argsort(-values, kind="stable")[:count]
    return list(zip(found.tolist(), values[found].tolist(), strict=True))
