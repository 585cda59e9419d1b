"""From a large JPEG file to the model's input: the whole decoded, against decoded at reduced size."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np
from PIL import Image

from benchmarks.report import Report, Row
from benchmarks.rounds import Options, Sample, interleaved
from skerry.package.preprocess import prepare
from skerry.package.recipe import Decode, InputSpec, Label, OutputSpec, Recipe

SIDE = 224
SIZES = {"640 × 480": (640, 480), "12 megapixels": (4000, 3000)}
LEAST = (1, 2, 4)
RECIPE = Recipe(
    input=InputSpec("image", SIDE, SIDE, 3),
    output=OutputSpec("scores", "softmax", (Label("0", "zero"), Label("1", "one"))),
)


async def run(options: Options) -> Report:
    """Milliseconds per file, one thread, for each reduction that a recipe can allow."""
    rows = []
    for name, size in SIZES.items():
        data = photograph(*size)
        recipes = {"whole": RECIPE}
        recipes |= {str(least): replace(RECIPE, decode=Decode(reduced=least)) for least in LEAST}
        times = options.pick(4 if size[0] > 1000 else 60, 1)

        async def one(recipe: Recipe, data: bytes = data, times: int = times) -> Sample:
            taken = await asyncio.to_thread(_milliseconds, data, recipe, times)
            return Sample(taken, {"off by": _off(data, recipe)})

        found = await interleaved(
            {key: partial(one, recipe) for key, recipe in recipes.items()}, options.rounds
        )
        rows += [
            Row(f"{name}, at least {least} ×", "ms", found[str(least)], found["whole"], "<=")
            for least in LEAST
        ]
    return Report("decode", rows, ["off by: largest difference of a pixel of the input, of 255"])


def photograph(width: int, height: int) -> bytes:
    """A JPEG with large shapes, fine grain and an edge, quality 90: as cameras write them."""
    random = np.random.default_rng(1)
    across, down = np.meshgrid(np.linspace(0, 9, width), np.linspace(0, 7, height))
    shapes = np.stack([np.sin(across + down), np.cos(across), np.sin(down * 2)], axis=-1) * 90 + 128
    shapes[:, width // 3 : width // 3 + width // 20] = 240
    shades = np.clip(shapes + random.normal(0, 6, shapes.shape), 0, 255).astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(shades).save(data, "JPEG", quality=90)
    return data.getvalue()


def _milliseconds(data: bytes, recipe: Recipe, times: int) -> float:
    prepare(data, recipe)
    taken = []
    for _ in range(times):
        began = perf_counter()
        prepare(data, recipe)
        taken.append((perf_counter() - began) * 1000)
    return median(taken)


def _off(data: bytes, recipe: Recipe) -> float:
    return float(np.abs(prepare(data, recipe) - prepare(data, RECIPE)).max())
