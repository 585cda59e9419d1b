"""Which samples travel with the model, so that a device can check itself."""

from __future__ import annotations

import numpy as np

from skerry.model.keras_file import F32


def choose_golden(outputs: F32, count: int) -> list[int]:
    """Up to ``count`` sample indices in ascending order, from the reference outputs [n, outputs].

    Half cover the predicted classes (each class's surest sample, in turn), half are the closest
    calls, where a small numeric error would show first.
    """
    best = outputs.argmax(axis=1)
    margins = _margins(outputs)
    covering = _by_class(best, margins)[: -(-count // 2)]
    closest = [int(i) for i in np.argsort(margins, kind="stable") if int(i) not in covering]
    return sorted([*covering, *closest[: count - len(covering)]])


def _margins(outputs: F32) -> F32:
    """How far the best output is ahead of the second; of one output, how far from 0.5."""
    if outputs.shape[1] == 1:
        return np.asarray(np.abs(outputs[:, 0] - np.float32(0.5)), np.float32)
    ordered = np.sort(outputs, axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2], np.float32)


def _by_class(best: np.ndarray[tuple[int, ...], np.dtype[np.intp]], margins: F32) -> list[int]:
    """Sample indices, surest first within each class, classes taking turns."""
    ranks: list[tuple[int, int, int]] = []
    taken: dict[int, int] = {}
    for i in np.argsort(-margins, kind="stable"):
        label = int(best[i])
        rank = taken[label] = taken.get(label, -1) + 1
        ranks.append((rank, label, int(i)))
    return [i for _, _, i in sorted(ranks)]
