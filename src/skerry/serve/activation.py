"""Whether a model package may serve on this device: whole files, and the recorded answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from skerry.errors import PreconditionFailed, SkerryError, StorageFull
from skerry.package.candidate import Candidate
from skerry.package.closeness import distances, same_answers
from skerry.package.manifest import GoldenSample, Package
from skerry.package.postprocess import checked
from skerry.package.preprocess import prepare
from skerry.package.recipe import Recipe
from skerry.serve.choice.selection import Selection, Way
from skerry.serve.predictor import FloatArray, Predictor

log = logging.getLogger(__name__)

# Bounds the start: eight images of a MobileNet take some 0.1 s on one core, of a ResNet152 some 2 s.
GOLDEN_MAX = 8

# The candidate of the package in the folder, on so many threads.
OpenPredictor = Callable[[Candidate, Path, int], Predictor]
Select = Callable[[Package], Selection]


@dataclass(frozen=True, slots=True)
class GoldenReport:
    """What scoring golden images on this device gave."""

    scored: int
    recorded: int
    """How many golden images the package has; those not scored were left out to start in time."""
    same_best: int
    """How many got the recorded best label; a near tie may turn within the tolerance."""
    difference: float
    """The largest difference of an output of the model."""
    tolerance: float
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every score is within the tolerance; a package without golden images has no say."""
        return self.difference <= self.tolerance

    def to_json(self) -> dict[str, object]:
        return {
            "passed": self.passed,
            "scored": self.scored,
            "recorded": self.recorded,
            "sameBest": self.same_best,
            "difference": self.difference,
            "tolerance": self.tolerance,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Activated:
    """A model that may serve; the first way of ``selection`` is the one that runs."""

    package: Package
    predictor: Predictor
    golden: GoldenReport
    selection: Selection


def as_built(package: Package) -> Selection:
    """The candidates as the build ordered them, on one thread."""
    return Selection(tuple(Way(candidate, 1) for candidate in package.candidates))


def activate(
    directory: Path,
    open_predictor: OpenPredictor,
    *,
    select: Select = as_built,
    golden_max: int = GOLDEN_MAX,
    trusted_keys: Sequence[bytes] | None = None,
) -> Activated:
    """Verify the package, load what ``select`` says, and score up to ``golden_max`` of its golden images.

    A candidate that does not load here or answers differently is passed over for the next, and named in the
    selection. Blocks; call it in a thread. Raises NotFound, InvalidInput or Damaged for a bad package,
    NotAllowed for one that none of the ``trusted_keys`` signed (where some are given), StorageFull when
    memory is short, and when no candidate is left what was wrong with the first: Damaged, Unsupported,
    Unavailable, or PreconditionFailed when this device does not give the recorded answers.
    """
    package = Package.open(directory, trusted_keys=trusted_keys)
    selection = select(package)
    refused, problem = dict(selection.refused), None
    for position, way in enumerate(selection.ways):
        try:
            predictor, report = _tried(package, way, open_predictor, golden_max)
        except StorageFull:
            raise
        except SkerryError as exc:
            refused[way.candidate.name] = " ".join(str(exc).split())
            problem = problem or exc
            continue
        for name, why in refused.items():
            log.warning("%s of %s does not run here: %s", name, package.name, why)
        log.info("activated %s (%s) as %s: golden %s", package.name, package.digest, way, report.to_json())
        left = replace(selection, ways=selection.ways[position:], refused=refused)
        return Activated(package, predictor, report, left)
    assert problem is not None, "a selection names a way"
    raise problem


def _tried(
    package: Package, way: Way, open_predictor: OpenPredictor, golden_max: int
) -> tuple[Predictor, GoldenReport]:
    predictor = open_predictor(way.candidate, package.directory, way.threads)
    try:
        report = score_golden(package, predictor, golden_max, way.candidate.tolerance)
        if not report.passed:
            raise PreconditionFailed(
                f"the model's answers here differ from the recorded ones by {report.difference:.2g}",
                hint=f"at most {report.tolerance:.2g} is allowed; rebuild the package for this device",
                golden=report.to_json(),
            )
    except SkerryError:
        predictor.close()
        raise
    return predictor, report


def score_golden(package: Package, predictor: Predictor, golden_max: int, tolerance: float) -> GoldenReport:
    """Compare the model's outputs with the recorded ones, on samples spread over the set."""
    begun = perf_counter()
    samples = _spread(package.golden, golden_max)
    same_best, difference = 0, 0.0
    for sample in samples:
        # One at a time: a batch here would cost a small device its memory for as long as it serves.
        [found] = predictor.infer(prepare(sample.image_bytes, package.recipe)[None])
        same, distance = _compare(found, sample.expected, package.recipe)
        same_best += same
        difference = max(difference, distance)
    return GoldenReport(
        scored=len(samples),
        recorded=len(package.golden),
        same_best=same_best,
        difference=difference,
        tolerance=tolerance,
        seconds=perf_counter() - begun,
    )


def _spread(samples: Sequence[GoldenSample], at_most: int) -> list[GoldenSample]:
    """Evenly spaced samples: golden sets are ordered by class, so the first ones would be one class."""
    count = min(at_most, len(samples))
    return [samples[i * len(samples) // count] for i in range(count)]


def _compare(found: FloatArray, expected: FloatArray, recipe: Recipe) -> tuple[bool, float]:
    """Whether every output says what is recorded, and the largest difference of any."""
    rows = checked(found, recipe)[None], checked(expected, recipe)[None]
    same = all(same_answers(rows[0][:, at], rows[1][:, at], spec, 0.0)[0] for spec, at in recipe.parts)
    return same, float(distances(*rows, recipe)[0])
