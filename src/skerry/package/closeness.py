"""How far a model's numbers are from the recorded ones, and whether they say the same, output by output."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skerry.package.recipe import OutputSpec, Recipe

F32 = NDArray[np.float32]
Flags = NDArray[np.bool_]
# A number of a regression counts as the same within this share of the range that it has over the samples.
REGRESSION_SHARE = 0.02
# Where a sigmoid says yes, after it and before.
YES = {"sigmoid": np.float32(0.5), "binary": np.float32(0.5), "binary-logit": np.float32(0)}


def distance(found: F32, expected: F32, spec: OutputSpec) -> F32:
    """Per row the largest difference of one output's numbers [n, size]; infinite where one is no number.

    Scores are compared as they are; numbers of a regression, which have units, in units of the largest
    expected one where that is above 1.
    """
    apart = np.nan_to_num(np.abs(found - expected), nan=np.inf).max(axis=1)
    if spec.kind == "regression":
        apart = apart / np.maximum(np.abs(expected).max(axis=1), 1)
    return np.asarray(apart, np.float32)


def distances(found: F32, expected: F32, recipe: Recipe) -> F32:
    """Per row [n, numbers] the largest distance of any output."""
    return np.asarray(
        np.max([distance(found[:, place], expected[:, place], spec) for spec, place in recipe.parts], axis=0),
        np.float32,
    )


def same_answers(found: F32, expected: F32, spec: OutputSpec, tie: float) -> Flags:
    """Per row [n, size] whether one output says the same.

    Softmax and logits: the same best label. Binary and sigmoid: the same labels at one half. Regression:
    within REGRESSION_SHARE of the numbers' range. What ``expected`` has within ``tie`` counts as equal: there
    the reference itself has no opinion.
    """
    match spec.kind:
        case "regression":
            room = REGRESSION_SHARE * (expected.max(axis=0) - expected.min(axis=0))
            room = room + tie * np.maximum(np.abs(expected), 1)
            return np.asarray((np.abs(np.nan_to_num(found, nan=np.inf) - expected) <= room).all(axis=1))
        case "sigmoid" | "binary" | "binary-logit":
            yes = YES[spec.kind]
            undecided = np.abs(expected - yes) <= tie
            same = (found >= yes) == (expected >= yes)
            return np.asarray(((same | undecided) & ~np.isnan(found)).all(axis=1))
    chosen = np.nan_to_num(found, nan=-np.inf).argmax(axis=1)
    score = np.take_along_axis(expected, chosen[:, None], axis=1)[:, 0]
    return np.asarray((score >= expected.max(axis=1) - tie) & ~np.isnan(found).any(axis=1))


def same_top_k(found: F32, expected: F32, spec: OutputSpec, k: int, tie: float) -> Flags:
    """Per row whether the ``k`` best labels are the same; where there is no ranking, as ``same_answers``."""
    if spec.kind not in ("softmax", "logits"):
        return same_answers(found, expected, spec, tie)
    k = min(k, expected.shape[1])
    floor = -np.sort(-expected, axis=1)[:, k - 1] - tie
    chosen = np.argsort(-np.nan_to_num(found, nan=-np.inf), axis=1, kind="stable")[:, :k]
    within = (np.take_along_axis(expected, chosen, axis=1) >= floor[:, None]).all(axis=1)
    return np.asarray(within & ~np.isnan(found).any(axis=1))


def said(row: Sequence[float] | F32, spec: OutputSpec) -> str:
    """What one output's numbers say, in few words: for messages about a sample."""
    values = np.nan_to_num(np.asarray(row, np.float32), nan=-np.inf)
    match spec.kind:
        case "regression":
            return ", ".join(f"{value:.4g}" for value in values[:3])
        case "binary" | "binary-logit":
            return spec.labels[int(values[0] >= YES[spec.kind])].name
        case "sigmoid":
            places = np.flatnonzero(values >= YES[spec.kind])[:3]
            return " and ".join(spec.labels[i].name for i in places) or "nothing"
    return spec.labels[int(values.argmax())].name
