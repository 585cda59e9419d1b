"""How the settings say that a package is loaded and who computes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from skerry.package.candidate import Candidate
from skerry.serve.activation import Activated, activate
from skerry.serve.backends.engines import open_candidate
from skerry.serve.choice.choosing import Wanted, select
from skerry.serve.environment import Environment
from skerry.serve.predictor import Predictor
from skerry.serve.probe import fits_the_loop


def load(
    settings: Environment,
    directory: Path,
    *,
    golden_max: int | None = None,
    before: Callable[[Path], None] | None = None,
) -> Activated:
    """The package, verified, loaded and tried; ``before`` is called with the model file before it is loaded.

    Blocks; a first time as long as a probe of its candidates takes. Raises as ``activate`` does.
    """

    def open_here(candidate: Candidate, folder: Path, threads: int) -> Predictor:
        if before is not None:
            before(folder / candidate.file)
        return open_candidate(candidate, folder, threads=threads)

    wanted = Wanted(
        threads=settings.threads,
        fixed=settings.threads_fixed,
        candidate=settings.candidate,
        probe=settings.probe,
        state=settings.update.state_dir if settings.update is not None else None,
    )
    return activate(
        directory,
        open_here,
        select=partial(select, wanted=wanted, before=before),
        golden_max=settings.golden_max if golden_max is None else golden_max,
        trusted_keys=settings.trusted_keys,
    )


def computes_in_loop(settings: Environment, activated: Activated) -> bool:
    """Who computes; measured unless it is set. Blocks."""
    if settings.compute == "auto":
        return fits_the_loop(activated.predictor, activated.package.recipe)
    return settings.compute == "loop"
