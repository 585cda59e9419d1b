"""Which samples travel with the model, so that a device can check itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skerry.model.keras_file import F32
from skerry.package.closeness import YES
from skerry.package.recipe import OutputSpec

# A regression has no classes: its range is cut into as many parts of equally many samples.
RANGES = 8


def choose_golden(outputs: F32, count: int, spec: OutputSpec) -> list[int]:
    """Up to ``count`` sample indices in ascending order, from the main output's numbers [n, size].

    Half cover the predicted classes, or a regression's range (the surest samples of each, in turn); half are
    the closest calls, where a small numeric error would show first.
    """
    margins = _margins(outputs, spec)
    covering = _by_class(_classes(outputs, spec), margins)[: -(-count // 2)]
    closest = [int(i) for i in np.argsort(margins, kind="stable") if int(i) not in covering]
    return sorted([*covering, *closest[: count - len(covering)]])


def _classes(outputs: F32, spec: OutputSpec) -> NDArray[np.intp]:
    if spec.kind == "regression":
        ranks = np.argsort(np.argsort(outputs[:, 0], kind="stable"), kind="stable")
        return np.asarray(ranks * RANGES // len(outputs), np.intp)
    if spec.kind in YES and outputs.shape[1] == 1:
        return np.asarray(outputs[:, 0] >= YES[spec.kind], np.intp)
    return np.asarray(outputs.argmax(axis=1), np.intp)


def _margins(outputs: F32, spec: OutputSpec) -> F32:
    """How far the best output is ahead of the second; of scores each for itself, how far from 0.5."""
    if spec.kind == "regression":
        return np.asarray(np.abs(outputs[:, 0] - np.median(outputs[:, 0])), np.float32)
    if spec.kind in YES:
        return np.asarray(np.abs(outputs - YES[spec.kind]).min(axis=1), np.float32)
    ordered = np.sort(outputs, axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2], np.float32)


def _by_class(best: NDArray[np.intp], margins: F32) -> list[int]:
    """Sample indices, surest first within each class, classes taking turns."""
    ranks: list[tuple[int, int, int]] = []
    taken: dict[int, int] = {}
    for i in np.argsort(-margins, kind="stable"):
        label = int(best[i])
        rank = taken[label] = taken.get(label, -1) + 1
        ranks.append((rank, label, int(i)))
    return [i for _, _, i in sorted(ranks)]
