"""Whether the answers stay the same when large JPEG files are decoded at a fraction of their size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from skerry.model.keras_file import F32
from skerry.model.sample_arrays import Sample
from skerry.package.candidate import Candidate
from skerry.package.postprocess import scores
from skerry.package.preprocess import open_image, prepare, reduction
from skerry.package.recipe import Recipe

# Fewer large JPEG samples show nothing about those that the device will see.
SAMPLES_MIN = 8
# Pixels left for each of the input's, per direction, from the quickest on.
LEAST = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class Reduced:
    """What was tried: with ``least`` 0 the exact path stays, and ``why`` says so."""

    least: int
    samples: int
    difference: float
    why: str

    def to_json(self) -> dict[str, object]:
        return {
            "reduced": self.least,
            "samples": self.samples,
            "maxAbsDifference": self.difference,
            "why": self.why,
        }


def choose_reduction(
    samples: Sequence[Sample],
    expected: F32,
    recipe: Recipe,
    run: Callable[[F32], F32],
    tolerance: float,
    candidates: Sequence[Candidate] = (),
) -> Reduced:
    """The quickest way of decoding that gives the original's best label and scores on all samples it is for.

    ``expected`` are the original model's outputs from whole pictures; ``run`` computes a batch in fp32, which
    says nothing of ``candidates`` in less.
    """
    if any(each.precision != "fp32" for each in candidates):
        return Reduced(0, 0, 0.0, "shown for fp32 only, and the package has less")
    found = Reduced(0, 0, 0.0, f"fewer than {SAMPLES_MIN} samples are JPEG files large enough")
    for least in LEAST:
        shrunk = replace(recipe, decode=replace(recipe.decode, reduced=least))
        places = [i for i, each in enumerate(samples) if _is_reduced(each.data, shrunk)]
        if len(places) < SAMPLES_MIN:
            break
        same, difference = _compare(
            [prepare(samples[i].data, shrunk) for i in places], expected[places], recipe, run
        )
        if same and difference <= tolerance:
            return Reduced(least, len(places), difference, "same best labels, scores within the tolerance")
        why = f"scores differ by {difference:.1e}" if same else "a best label changes"
        found = Reduced(0, len(places), difference, f"{why} even with {least} pixels for each of the input's")
    return found


def _is_reduced(data: bytes, recipe: Recipe) -> bool:
    return reduction(open_image(data), recipe) > 1


def _compare(
    inputs: Sequence[F32], expected: F32, recipe: Recipe, run: Callable[[F32], F32]
) -> tuple[bool, float]:
    """Whether all best labels are the same, and the largest difference of an output."""
    same, difference = True, 0.0
    regression = recipe.output.kind == "regression"
    for one, wanted in zip(inputs, expected, strict=True):
        [found] = run(one[None])
        same = same and (regression or _best(found, recipe) == _best(wanted, recipe))
        difference = max(difference, float(np.abs(found - wanted).max()))
    return same, difference


def _best(numbers: F32, recipe: Recipe) -> int:
    return int(scores(numbers, recipe).argmax())
