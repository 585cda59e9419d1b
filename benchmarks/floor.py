"""What the inference engine alone gives in process: the same preprocessing, engine and ranking, no server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

from skerry.package.manifest import Package
from skerry.package.postprocess import top_k
from skerry.package.preprocess import prepare
from skerry.package.recipe import Recipe
from skerry.serve.backends.onnx import OnnxPredictor

TOP = 5


async def latencies_ms(package: Path, bodies: Sequence[bytes], images: int, threads: int) -> list[float]:
    """Sorted milliseconds per image, one after the other on ``threads`` engine threads."""
    return await asyncio.to_thread(_latencies, Package.open(package), bodies, images, threads)


async def throughput(package: Path, bodies: Sequence[bytes], images: int, cpus: int) -> float:
    """Images a second: the better of one stream on all cores and one stream per core."""
    opened = Package.open(package)
    one = await asyncio.to_thread(_streams, opened, bodies, images, 1, cpus)
    return max(one, await asyncio.to_thread(_streams, opened, bodies, images, cpus, 1))


def _latencies(package: Package, bodies: Sequence[bytes], images: int, threads: int) -> list[float]:
    predictor = OnnxPredictor.open(package.model_path, threads=threads)
    _score(predictor, bodies[0], package.recipe)
    found = []
    for number in range(images):
        started = perf_counter()
        _score(predictor, bodies[number % len(bodies)], package.recipe)
        found.append((perf_counter() - started) * 1000)
    predictor.close()
    return sorted(found)


def _streams(package: Package, bodies: Sequence[bytes], images: int, streams: int, threads: int) -> float:
    predictors = [OnnxPredictor.open(package.model_path, threads=threads) for _ in range(streams)]
    for predictor in predictors:
        _score(predictor, bodies[0], package.recipe)

    def work(predictor: OnnxPredictor) -> None:
        for number in range(images // streams):
            _score(predictor, bodies[number % len(bodies)], package.recipe)

    started = perf_counter()
    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(work, predictors))
    seconds = perf_counter() - started
    for predictor in predictors:
        predictor.close()
    return images // streams * streams / seconds


def _score(predictor: OnnxPredictor, body: bytes, recipe: Recipe) -> object:
    output = predictor.infer(prepare(body, recipe)[None])[0]
    return top_k(output, recipe, TOP)
