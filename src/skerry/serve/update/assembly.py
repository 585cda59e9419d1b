"""The parts of model updates put together from the module's settings."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from skerry.clock import Clock
from skerry.errors import InvalidInput
from skerry.serve.activation import Activated
from skerry.serve.environment import Environment
from skerry.serve.loading import computes_in_loop, load
from skerry.serve.scoring import Scorer
from skerry.serve.update.memory import check_fits
from skerry.serve.update.restore import Restored
from skerry.serve.update.served import Loading
from skerry.serve.update.shelf import Shelf
from skerry.serve.update.updates import Updates

# A candidate has time: more of its golden images are scored than at a start.
GOLDEN_MAX = 64


def start_updates(
    settings: Environment, scorer: Scorer, shelf: Shelf, restored: Restored, *, clock: Clock
) -> Updates:
    """Updates for the scorer, in a running loop."""
    wanted = settings.update
    if wanted is None:
        raise InvalidInput("updates need SKERRY_STATE_DIR", field="SKERRY_STATE_DIR")

    def load_candidate(directory: Path) -> Activated:
        fits = partial(check_fits, budget=wanted.memory_bytes_max)
        return load(settings, directory, golden_max=max(settings.golden_max, GOLDEN_MAX), before=fits)

    loading = Loading(settings.model_dir, load_candidate, partial(computes_in_loop, settings))
    return Updates(scorer, shelf, restored, loading, wanted, clock=clock)
