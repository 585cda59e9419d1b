"""A probe of this device: ways to run a package, timed in processes of their own, within bounds."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from skerry.errors import Unavailable
from skerry.package.manifest import Package
from skerry.package.preprocess import prepare
from skerry.serve.choice.selection import Timed, Way
from skerry.serve.predictor import FloatArray

# Timing, all ways together, and one of them: long enough for a median, short enough for a first start.
PROBE_S = 2.0
ROW_S = 0.25
# With starting, loading and whatever hangs: what a first start is delayed by at most.
PROBE_LIMIT_S = 10.0
INPUTS = 4
CHILD_MODULE = "skerry.serve.choice.child"
DONE, LATE = "ended", "took too long"


@dataclass(slots=True)
class Trial:
    """What was measured, and why a candidate was not, by its name."""

    timings: list[Timed] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def try_ways(
    package: Package, ways: Sequence[Way], *, total_s: float = PROBE_S, limit_s: float = PROBE_LIMIT_S
) -> Trial:
    """Time ``ways``, in this order; blocks for ``limit_s`` at most.

    A candidate whose engine crashes or hangs is refused and the others go on. Raises Unavailable when no
    process can be started.
    """
    trial, left, inputs = Trial(), list(ways), _inputs(package)
    end = perf_counter() + limit_s
    while left:
        job = {
            "directory": str(package.directory),
            "ways": [_described(way) for way in left],
            "row_s": min(ROW_S, total_s / len(ways)),
            "total_s": total_s,
        }
        told, ended = _child(json.dumps(job).encode() + b"\n" + inputs, end - perf_counter())
        under_way = _read(told, trial)
        if ended in (DONE, LATE):
            return trial
        if under_way is None:
            raise Unavailable(f"the probe {ended}")
        trial.refused[under_way] = f"its engine {ended}"
        trial.timings = [timed for timed in trial.timings if timed.name != under_way]
        done = {(timed.name, timed.threads) for timed in trial.timings}
        left = [
            way
            for way in left
            if way.candidate.name not in trial.refused and (way.candidate.name, way.threads) not in done
        ]
    return trial


def _child(given: bytes, seconds: float) -> tuple[bytes, str]:
    """What it wrote, and how it ended."""
    command = [sys.executable, "-P", "-m", CHILD_MODULE]
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, timeout=max(seconds, 0.1), check=False
        )
    except subprocess.TimeoutExpired as exc:
        return exc.stdout or b"", LATE
    except OSError as exc:
        raise Unavailable(f"the probe cannot be started: {exc.strerror or exc}") from exc
    if done.returncode < 0:
        return done.stdout, f"crashed with signal {-done.returncode}"
    if done.returncode > 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return done.stdout, f"failed: {''.join(last)[:300]}"
    return done.stdout, DONE


def _read(told: bytes, trial: Trial) -> str | None:
    """Take over what the child wrote; the name of the candidate it was at, if it was at one."""
    under_way = None
    for line in told.splitlines():
        try:
            row: dict[str, Any] = json.loads(line)
        except ValueError:
            # The child was stopped in the middle of a line.
            continue
        if "begun" in row:
            under_way = str(row["begun"])
        elif "error" in row:
            trial.refused[str(row["name"])] = str(row["error"])
            under_way = None
        else:
            trial.timings.append(Timed(str(row["name"]), int(row["threads"]), float(row["p50Ms"])))
            under_way = None
    return under_way


def _described(way: Way) -> dict[str, object]:
    one = way.candidate
    return {
        "name": one.name,
        "engine": one.engine,
        "precision": one.precision,
        "file": one.file,
        "threads": way.threads,
    }


def _inputs(package: Package) -> bytes:
    """A few golden images as the model gets them, as .npy."""
    size = package.recipe.input
    found: list[FloatArray] = [
        prepare(sample.image_bytes, package.recipe) for sample in package.golden[:INPUTS]
    ] or [np.zeros((size.height, size.width, size.channels), np.float32)]
    buffer = io.BytesIO()
    np.save(buffer, np.stack(found).astype(np.float32), allow_pickle=False)
    return buffer.getvalue()
