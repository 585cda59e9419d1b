"""Whether a package equals its golden set on this machine, in every engine it offers; how fast it is here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skerry.errors import Damaged, InvalidInput, SkerryError
from skerry.model.benchmark import Measurement, try_model
from skerry.model.inspect import strangers
from skerry.model.keras_file import F32
from skerry.package.candidate import Candidate
from skerry.package.closeness import distances, same_answers
from skerry.package.manifest import Package
from skerry.package.preprocess import prepare

BATCH = 8


@dataclass(frozen=True, slots=True)
class Checked:
    """A candidate on the golden set: the largest difference, how many images it answers as recorded."""

    candidate: Candidate
    difference: float
    same_best: int
    images: int
    measurement: Measurement

    @property
    def passed(self) -> bool:
        """Whether every output is within the tolerance that the package names."""
        return self.difference <= self.candidate.tolerance


@dataclass(frozen=True, slots=True)
class NotChecked:
    """A candidate that does not run here, and why."""

    candidate: Candidate
    reason: str


def golden_inputs(package: Package) -> F32:
    """The golden images as the model takes them; InvalidInput for a package without any."""
    if not package.golden:
        raise InvalidInput("the package has no golden images", path="golden")
    return np.stack([prepare(sample.image_bytes, package.recipe) for sample in package.golden])


def refuse_strangers(package: Package) -> None:
    """Damaged, naming the file, when one lies in the package that its manifest does not vouch for."""
    if extra := strangers(package):
        raise Damaged(
            f"{extra[0]} is not in the package's manifest", hint="remove it, or build again", path=extra[0]
        )


def check(
    package: Package, progress: Callable[[str], None], *, seconds: float = 0, only: str | None = None
) -> list[Checked | NotChecked]:
    """Every candidate (or ``only`` one) on the golden set, each in its own process, timed for ``seconds``.

    InvalidInput when ``only`` is none of the package's candidates.
    """
    names = [candidate.name for candidate in package.candidates]
    if only is not None and only not in names:
        raise InvalidInput(f"the package has no candidate {only!r}", hint=f"it has {', '.join(names)}")
    inputs = golden_inputs(package)
    expected = np.stack([sample.expected for sample in package.golden])
    found: list[Checked | NotChecked] = []
    for candidate in package.candidates:
        if only not in (None, candidate.name):
            continue
        progress(f"running {candidate.name} on {len(inputs)} golden images")
        try:
            found.append(_check(package, candidate, inputs, expected, seconds))
        except SkerryError as error:
            found.append(NotChecked(candidate, error.what))
    return found


def _check(package: Package, candidate: Candidate, inputs: F32, expected: F32, seconds: float) -> Checked:
    path = package.directory / candidate.file
    trial = try_model(
        candidate.engine,
        candidate.precision,
        path.read_bytes(),
        path.suffix,
        inputs,
        batch=BATCH,
        seconds=seconds,
    )
    recipe = package.recipe
    apart = max(float(distances(run, expected, recipe).max()) for run in (trial.singles, trial.batches))
    alike = [same_answers(trial.singles[:, at], expected[:, at], spec, 0.0) for spec, at in recipe.parts]
    return Checked(candidate, apart, int(np.min(alike, axis=0).sum()), len(inputs), trial.measurement)
