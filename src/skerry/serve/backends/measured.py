"""One engine on one model, run and timed in a process of its own.

``python -m skerry.serve.backends.measured JOB``: the build asks for it (its process never loads an engine
that may crash or keep memory), and so may a device. JOB is a JSON file: ``engine``, ``precision``, ``model``,
``inputs`` (.npy, float32 [n, height, width, channels]), ``outputs`` (.npz to write: ``singles``,
``batches``), ``batch``, ``threads`` (list), ``seconds`` per timing, 0 for none. Standard output is one JSON
object: what ``measure`` returns, or ``error``, ``hint`` and ``kind``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from skerry.errors import SkerryError
from skerry.serve.backends.engines import open_engine
from skerry.serve.predictor import FloatArray, Predictor

# Fewer give no p99 worth the name; a ResNet152 needs two seconds for them.
TIMES_MIN = 20
TIMES_MAX = 20_000
WARM_UP = 3
EXIT_FAILED = 3


def measure(job: Mapping[str, Any], inputs: FloatArray) -> tuple[dict[str, Any], FloatArray, FloatArray]:
    """What the engine needs and gives, and its outputs one by one and in batches.

    The first number of ``threads`` is used for load time, memory and outputs; each for the timings.
    """
    begun = perf_counter()
    predictor = _open(job, job["threads"][0])
    loaded = perf_counter() - begun
    predictor.infer(inputs[:1])
    report: dict[str, Any] = {
        "engine": predictor.engine,
        "loadSeconds": round(loaded, 4),
        "firstAnswerSeconds": round(perf_counter() - begun, 4),
        "rssBytes": resident_bytes(),
        "timings": [],
    }
    batch = min(int(job["batch"]), predictor.batch_max)
    singles = _run(predictor, inputs, 1)
    batches = _run(predictor, inputs, batch)
    for threads in dict.fromkeys(job["threads"]):
        if job["seconds"] <= 0:
            break
        if threads != job["threads"][0]:
            predictor.close()
            predictor = _open(job, threads)
        report["timings"].append(_timing(predictor, inputs, threads, batch, job["seconds"]))
    predictor.close()
    return report, singles, batches


def resident_bytes() -> int:
    """This process's memory now (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _open(job: Mapping[str, Any], threads: int) -> Predictor:
    return open_engine(job["engine"], job["precision"], Path(job["model"]), threads=threads)


def _run(predictor: Predictor, inputs: FloatArray, size: int) -> FloatArray:
    parts = [predictor.infer(np.array(inputs[i : i + size])) for i in range(0, len(inputs), size)]
    return np.concatenate(parts)


def _timing(
    predictor: Predictor, inputs: FloatArray, threads: int, batch: int, seconds: float
) -> dict[str, Any]:
    single = one_by_one(predictor, inputs, seconds)
    stack = np.stack([inputs[i % len(inputs)] for i in range(batch)])
    several = _times(lambda _: predictor.infer(stack), seconds / 2)
    return {
        "threads": threads,
        "p50Ms": round(float(np.percentile(single, 50)) * 1e3, 4),
        "p99Ms": round(float(np.percentile(single, 99)) * 1e3, 4),
        "batch": batch,
        "imagesPerSecond": round(batch / float(np.median(several)), 2),
    }


def one_by_one(
    predictor: Predictor,
    inputs: FloatArray,
    seconds: float,
    *,
    warm_up: int = WARM_UP,
    at_least: int = TIMES_MIN,
    at_most: int = TIMES_MAX,
) -> list[float]:
    """What single images take, in seconds each; the build's timing and the device's are this one."""
    images = [np.array(inputs[i][None]) for i in range(min(len(inputs), 8))]
    return _times(
        lambda i: predictor.infer(images[i % len(images)]),
        seconds,
        warm_up=warm_up,
        at_least=at_least,
        at_most=at_most,
    )


def _times(
    call: Callable[[int], object],
    seconds: float,
    *,
    warm_up: int = WARM_UP,
    at_least: int = TIMES_MIN,
    at_most: int = TIMES_MAX,
) -> list[float]:
    for i in range(warm_up):
        call(i)
    times: list[float] = []
    end = perf_counter() + seconds
    while len(times) < at_least or (perf_counter() < end and len(times) < at_most):
        begun = perf_counter()
        call(len(times))
        times.append(perf_counter() - begun)
    return times


def main(job_path: str) -> int:
    """Run the job; 0, or EXIT_FAILED when the engine refuses it for a reason that it says."""
    job = json.loads(Path(job_path).read_text())
    try:
        report, singles, batches = measure(job, np.load(job["inputs"], mmap_mode="r"))
    except SkerryError as error:
        sys.stdout.write(json.dumps({"error": error.what, "hint": error.hint, "kind": type(error).__name__}))
        return EXIT_FAILED
    np.savez(job["outputs"], singles=singles, batches=batches)
    sys.stdout.write(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
