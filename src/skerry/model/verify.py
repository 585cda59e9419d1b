"""Does the converted model answer as the original does, image by image, output by output?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skerry.errors import Unsupported
from skerry.model.keras_file import F32
from skerry.package.closeness import distance, distances, said, same_answers, same_top_k
from skerry.package.recipe import OutputSpec, Recipe

WORST_SHOWN = 3


class VerificationFailed(Unsupported):
    """The conversion disagrees with the reference; ``fields["worst"]`` names the samples."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The largest difference of any output, and the share of samples that must be answered alike."""

    max_abs: float = 1e-4
    agreement: float = 1.0


@dataclass(frozen=True, slots=True)
class Worst:
    """A sample on which the two differ most: by how much, and what each says of it."""

    name: str
    difference: float
    reference: str
    converted: str

    def __str__(self) -> str:
        changed = "" if self.reference == self.converted else f", {self.reference} became {self.converted}"
        return f"{self.name} differs by {self.difference:.2g}{changed}"


@dataclass(frozen=True, slots=True)
class OutputAgreement:
    """How one output compares: the largest difference, the share of samples it answers alike."""

    name: str
    kind: str
    max_abs_difference: float
    agreement: float


@dataclass(frozen=True, slots=True)
class Verification:
    """The comparison over all samples, at batch 1 and at larger batches; shares are 0..1.

    A sample agrees when every output says the same of it.
    """

    max_abs_difference: float
    top1_agreement: float
    topk_agreement: float
    worst: tuple[Worst, ...]
    outputs: tuple[OutputAgreement, ...] = ()


def compare(
    reference: F32, converted: Sequence[F32], names: Sequence[str], recipe: Recipe, k: int, tie: float
) -> Verification:
    """Compare the numbers [n, numbers] of the reference with those of each run of the converted model.

    Scores of the reference within ``tie`` of each other count as equally good: there it has no opinion.
    """
    runs = [distances(run, reference, recipe) for run in converted]
    per_sample = np.max(runs, axis=0)
    alike = np.min(
        [
            same_answers(run[:, place], reference[:, place], spec, tie)
            for run in converted
            for spec, place in recipe.parts
        ],
        axis=0,
    )
    sets = np.min(
        [
            same_top_k(run[:, place], reference[:, place], spec, k, tie)
            for run in converted
            for spec, place in recipe.parts
        ],
        axis=0,
    )
    order = np.argsort(-per_sample, kind="stable")
    order = order[np.argsort(alike[order], kind="stable")][:WORST_SHOWN]
    source = converted[int(np.argmax([float(run.max()) for run in runs]))]
    return Verification(
        max_abs_difference=float(per_sample.max()),
        top1_agreement=float(alike.mean()),
        topk_agreement=float(sets.mean()),
        worst=tuple(
            Worst(
                names[i],
                float(per_sample[i]),
                _said(reference[i], recipe),
                _said(source[i], recipe),
            )
            for i in order
        ),
        outputs=tuple(_output(reference, converted, spec, place, tie) for spec, place in recipe.parts),
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
        f"and answers {verification.top1_agreement:.1%} of the samples alike: {worst}",
        hint=f"allowed are {thresholds.max_abs:.2g} and {thresholds.agreement:.1%}; no package was written",
        worst=[w.name for w in verification.worst],
        max_abs_difference=verification.max_abs_difference,
        top1_agreement=verification.top1_agreement,
    )


def _output(
    reference: F32, converted: Sequence[F32], spec: OutputSpec, place: slice, tie: float
) -> OutputAgreement:
    expected = reference[:, place]
    apart = max(float(distance(run[:, place], expected, spec).max()) for run in converted)
    alike = np.min([same_answers(run[:, place], expected, spec, tie) for run in converted], axis=0)
    return OutputAgreement(spec.name, spec.kind, apart, float(alike.mean()))


def _said(row: F32, recipe: Recipe) -> str:
    if not recipe.others:
        return said(row, recipe.output)
    return ", ".join(f"{spec.name} {said(row[place], spec)}" for spec, place in recipe.parts)
