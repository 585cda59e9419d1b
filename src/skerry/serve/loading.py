"""How the settings say that a package is loaded and who computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from skerry.serve.activation import Activated, activate
from skerry.serve.backends.onnx import OnnxPredictor
from skerry.serve.environment import Environment
from skerry.serve.probe import fits_the_loop


def load(
    settings: Environment,
    directory: Path,
    *,
    golden_max: int | None = None,
    before: Callable[[Path], None] | None = None,
) -> Activated:
    """The package, verified, loaded and tried; ``before`` is called with the model file before it is loaded.

    Blocks. Raises as ``activate`` does.
    """

    def open_predictor(model: Path) -> OnnxPredictor:
        if before is not None:
            before(model)
        return OnnxPredictor.open(model, threads=settings.threads)

    return activate(
        directory,
        open_predictor,
        golden_max=settings.golden_max if golden_max is None else golden_max,
        trusted_keys=settings.trusted_keys,
    )


def computes_in_loop(settings: Environment, activated: Activated) -> bool:
    """Who computes; measured unless it is set. Blocks."""
    if settings.compute == "auto":
        return fits_the_loop(activated.predictor, activated.package.recipe)
    return settings.compute == "loop"
