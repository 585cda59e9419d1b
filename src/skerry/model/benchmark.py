"""What a candidate needs and gives on this machine, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skerry.errors import Damaged, SkerryError, TimedOut, Unavailable, Unsupported
from skerry.model.keras_file import F32

# The code that serves is the code that is measured. It is met on the command line only: model and serve are
# neighbours that do not import each other.
CHILD_MODULE = "skerry.serve.backends.measured"
# Timings at 1 and N threads, one image and several: long enough for a p99, short enough to try six engines.
SECONDS = 1.5
TIMEOUT_S = 900
_KINDS: Mapping[str, type[SkerryError]] = {"Unavailable": Unavailable, "Unsupported": Unsupported}


@dataclass(frozen=True, slots=True)
class Timing:
    """Latency of one image in milliseconds, and images per second in batches of ``batch``."""

    threads: int
    p50_ms: float
    p99_ms: float
    batch: int
    images_per_second: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """``rss_bytes`` is the process after its first answer; ``timings`` has the most threads first."""

    engine: str
    load_s: float
    first_answer_s: float
    rss_bytes: int
    timings: tuple[Timing, ...]

    @property
    def best(self) -> Timing | None:
        """The timing with the most threads: what a device with nothing else to do gives."""
        return self.timings[0] if self.timings else None

    def to_json(self) -> dict[str, object]:
        return {
            "engine": self.engine,
            "loadSeconds": self.load_s,
            "firstAnswerSeconds": self.first_answer_s,
            "rssBytes": self.rss_bytes,
            "timings": [
                {
                    "threads": t.threads,
                    "p50Ms": t.p50_ms,
                    "p99Ms": t.p99_ms,
                    "batch": t.batch,
                    "imagesPerSecond": t.images_per_second,
                }
                for t in self.timings
            ],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A candidate's outputs, float32 [n, outputs], one by one and in batches, and its measurement."""

    singles: F32
    batches: F32
    measurement: Measurement


def cores() -> int:
    """How many threads this machine has for us."""
    return len(os.sched_getaffinity(0))


def try_model(
    engine: str,
    precision: str,
    model: bytes,
    suffix: str,
    inputs: F32,
    *,
    batch: int,
    seconds: float = SECONDS,
    timeout_s: float = TIMEOUT_S,
) -> Trial:
    """Run ``model`` on ``inputs`` in ``engine``, and time it unless ``seconds`` is 0.

    Unavailable when the engine is not installed, Unsupported when it refuses the model or ends with a
    signal, TimedOut when it hangs: all are a reason in a report, none ends the build.
    """
    with tempfile.TemporaryDirectory(prefix="skerry-trial-") as scratch:
        folder = Path(scratch)
        (folder / f"model{suffix}").write_bytes(model)
        np.save(folder / "inputs.npy", np.ascontiguousarray(inputs, np.float32))
        job = {
            "engine": engine,
            "precision": precision,
            "model": str(folder / f"model{suffix}"),
            "inputs": str(folder / "inputs.npy"),
            "outputs": str(folder / "outputs.npz"),
            "batch": batch,
            "threads": list(dict.fromkeys([cores(), 1])),
            "seconds": seconds,
        }
        (folder / "job.json").write_text(json.dumps(job))
        report = _child(folder / "job.json", engine, timeout_s)
        with np.load(folder / "outputs.npz") as outputs:
            return Trial(
                outputs["singles"].astype(np.float32),
                outputs["batches"].astype(np.float32),
                _measurement(report),
            )


def _child(job: Path, engine: str, timeout_s: float) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", CHILD_MODULE, str(job)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired as exc:
        raise TimedOut(f"{engine} did not finish in {timeout_s:.0f} s") from exc
    if done.returncode < 0:
        raise Unsupported(f"{engine} crashed with signal {-done.returncode}")
    try:
        report = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError) as exc:
        raise Unsupported(f"{engine} failed: {_last_line(done.stderr)}") from exc
    if not isinstance(report, dict):
        raise Damaged(f"{engine} reported {report!r}")
    if done.returncode != 0:
        kind = _KINDS.get(str(report.get("kind")), Unsupported)
        raise kind(str(report.get("error")), hint=str(report.get("hint", "")))
    return report


def _measurement(report: Mapping[str, Any]) -> Measurement:
    timings = tuple(
        Timing(t["threads"], t["p50Ms"], t["p99Ms"], t["batch"], t["imagesPerSecond"])
        for t in report["timings"]
    )
    return Measurement(
        report["engine"], report["loadSeconds"], report["firstAnswerSeconds"], report["rssBytes"], timings
    )


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it gave no reason"
