"""Does the converted model answer as the original does, image by image?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skerry.errors import Unsupported
from skerry.model.keras_file import F32

WORST_SHOWN = 3


class VerificationFailed(Unsupported):
    """The conversion disagrees with the reference; ``fields["worst"]`` names the samples."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The largest difference of any output, and the share of samples that must have the same best class."""

    max_abs: float = 1e-4
    agreement: float = 1.0


@dataclass(frozen=True, slots=True)
class Worst:
    """A sample on which the two differ most: by how much, and the class index each puts first."""

    name: str
    difference: float
    reference: int
    converted: int

    def __str__(self) -> str:
        classes = (
            "" if self.reference == self.converted else f", class {self.reference} became {self.converted}"
        )
        return f"{self.name} differs by {self.difference:.2g}{classes}"


@dataclass(frozen=True, slots=True)
class Verification:
    """The comparison over all samples, at batch 1 and at larger batches; shares are 0..1."""

    max_abs_difference: float
    top1_agreement: float
    topk_agreement: float
    worst: tuple[Worst, ...]


def compare(
    reference: F32, converted: Sequence[F32], names: Sequence[str], k: int, tie: float
) -> Verification:
    """Compare outputs [n, outputs] of the reference with those of each run of the converted model.

    Classes whose reference scores are within ``tie`` of each other count as equally good: there the
    reference itself has no opinion.
    """
    runs = [_difference(reference, run) for run in converted]
    per_sample = np.max(runs, axis=0)
    best = np.min([_same_best(reference, run, tie) for run in converted], axis=0)
    sets = np.min([_same_set(reference, run, k, tie) for run in converted], axis=0)
    order = np.argsort(-per_sample, kind="stable")
    order = order[np.argsort(best[order], kind="stable")][:WORST_SHOWN]
    source = int(np.argmax([float(run.max()) for run in runs]))
    return Verification(
        max_abs_difference=float(per_sample.max()),
        top1_agreement=float(best.mean()),
        topk_agreement=float(sets.mean()),
        worst=tuple(
            Worst(
                names[i],
                float(per_sample[i]),
                int(reference[i].argmax()),
                int(np.nan_to_num(converted[source][i], nan=-np.inf).argmax()),
            )
            for i in order
        ),
    )


def require(verification: Verification, thresholds: Thresholds) -> None:
    """VerificationFailed, naming the worst samples, unless the thresholds are kept."""
    if (
        verification.max_abs_difference <= thresholds.max_abs
        and verification.top1_agreement >= thresholds.agreement
    ):
        return
    worst = "; ".join(str(w) for w in verification.worst)
    raise VerificationFailed(
        f"the converted model differs from the original by up to {verification.max_abs_difference:.2g} "
        f"and agrees on {verification.top1_agreement:.1%} of the best classes: {worst}",
        hint=f"allowed are {thresholds.max_abs:.2g} and {thresholds.agreement:.1%}; no package was written",
        worst=[w.name for w in verification.worst],
        max_abs_difference=verification.max_abs_difference,
        top1_agreement=verification.top1_agreement,
    )


def _difference(reference: F32, run: F32) -> F32:
    """Per sample the largest difference; infinite where the converted model gives no number."""
    return np.asarray(np.nan_to_num(np.abs(reference - run), nan=np.inf).max(axis=1), np.float32)


def _same_best(reference: F32, run: F32, tie: float) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    chosen = np.nan_to_num(run, nan=-np.inf).argmax(axis=1)
    score = np.take_along_axis(reference, chosen[:, None], axis=1)[:, 0]
    return np.asarray(score >= reference.max(axis=1) - tie)


def _same_set(
    reference: F32, run: F32, k: int, tie: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    k = min(k, reference.shape[1])
    floor = -np.sort(-reference, axis=1)[:, k - 1] - tie
    chosen = np.argsort(-np.nan_to_num(run, nan=-np.inf), axis=1, kind="stable")[:, :k]
    return np.asarray((np.take_along_axis(reference, chosen, axis=1) >= floor[:, None]).all(axis=1))
