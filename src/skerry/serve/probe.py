"""How fast the model is on this machine, and so who should compute: the event loop or a thread."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from skerry.package.recipe import Recipe
from skerry.serve.predictor import Predictor

# Handing work to a thread and back costs 0.1 to 0.2 ms without spinning (measurements.md part 2 §4.1). A
# full batch of eight then holds the loop for some 4 ms at most.
IN_LOOP_BELOW_S = 0.0005

RUNS_MAX = 20

# Enough for a quick model; a slow one shows it in its first two runs.
ENOUGH_S = 0.02


def seconds_per_image(predictor: Predictor, recipe: Recipe) -> float:
    """The shortest of a few runs of one image; of two for a model that is clearly slow. Blocks."""
    image = np.zeros((1, recipe.input.height, recipe.input.width, recipe.input.channels), np.float32)
    times: list[float] = []
    while len(times) < RUNS_MAX and (len(times) < 2 or sum(times) < ENOUGH_S):
        began = perf_counter()
        predictor.infer(image)
        times.append(perf_counter() - began)
    return min(times)


def fits_the_loop(predictor: Predictor, recipe: Recipe) -> bool:
    """Whether the model is so fast that the event loop should compute. Blocks for a few inferences."""
    return seconds_per_image(predictor, recipe) < IN_LOOP_BELOW_S
