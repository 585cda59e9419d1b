"""The probe's own process: times one way after the other, a line of JSON for each.

``python -m skerry.serve.choice.child``: an engine that crashes or keeps memory does it here. Standard input
is one line of JSON (``directory``, ``ways``, ``row_s``, ``total_s``) and the inputs as .npy, float32
[n, height, width, channels]. Standard output: ``{"begun": name}``, then ``{"name", "threads", "p50Ms"}`` or
``{"name", "error"}``.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from skerry.errors import SkerryError
from skerry.package.candidate import Candidate
from skerry.serve.backends.engines import open_candidate
from skerry.serve.backends.measured import one_by_one
from skerry.serve.predictor import FloatArray

# The median of as many does not move any more; a net of a millisecond has them long before its time is up.
TIMES_MAX = 300
# A slow net shows it in two runs after the one that warms it up.
TIMES_MIN = 2
WARM_UP = 1
# A candidate that takes twice the best one's time with all threads does not win with fewer.
HOPELESS = 2.0


def rows(job: Mapping[str, Any], inputs: FloatArray) -> Iterator[dict[str, Any]]:
    """What standard output gets, way by way, until the time for timing is spent."""
    best, spent = float("inf"), 0.0
    first: dict[str, float] = {}
    for way in job["ways"]:
        name, threads = way["name"], way["threads"]
        if name in first and first[name] > HOPELESS * best:
            continue
        if spent > job["total_s"]:
            return
        yield {"begun": name}
        try:
            times = _times(way, Path(job["directory"]), inputs, job["row_s"])
        except SkerryError as error:
            yield {"name": name, "error": " ".join(str(error).split())}
            first[name] = float("inf")
            continue
        spent += sum(times)
        p50 = float(np.median(times)) * 1e3
        best = min(best, p50)
        first.setdefault(name, p50)
        yield {"name": name, "threads": threads, "p50Ms": round(p50, 4)}


def _times(way: Mapping[str, Any], directory: Path, inputs: FloatArray, seconds: float) -> list[float]:
    candidate = Candidate(way["name"], way["engine"], way["precision"], way["file"], 1.0)
    predictor = open_candidate(candidate, directory, threads=way["threads"])
    try:
        return one_by_one(predictor, inputs, seconds, warm_up=WARM_UP, at_least=TIMES_MIN, at_most=TIMES_MAX)
    finally:
        predictor.close()


def main() -> int:
    """Run the job on standard input."""
    job = json.loads(sys.stdin.buffer.readline())
    inputs = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    begun = perf_counter()
    for row in rows(job, inputs):
        sys.stdout.write(json.dumps({**row, "at": round(perf_counter() - begun, 3)}) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
