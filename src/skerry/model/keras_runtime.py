"""Real Keras as a witness, in a process of its own: 0.6 GB of TensorFlow never enters ours."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skerry.errors import InvalidInput, TimedOut, Unavailable
from skerry.model.keras_file import F32
from skerry.model.origin import Origin

CHILD = Path(__file__).with_name("keras_child.py")
NOT_INSTALLED = 3
HINT = "install it with: pip install 'skerry[keras]'"
# ResNet152 on 256 samples takes 60 s on two cores, importing TensorFlow up to 10 s on a slow disk.
TIMEOUT_S = 600


@dataclass(frozen=True, slots=True, eq=False)
class KerasAnswer:
    """What real Keras predicted, float32 [n, numbers], and its version."""

    outputs: F32
    version: str


def is_installed() -> bool:
    """Whether this Python has Keras and TensorFlow, found without importing them."""
    return all(importlib.util.find_spec(name) is not None for name in ("keras", "tensorflow"))


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A model's inference graph, as TensorFlow traced it: a JSON document, its constants by tensor name."""

    document: Mapping[str, Any]
    constants: Mapping[str, NDArray[Any]]
    version: str


def predict(
    model: Path | Origin,
    batch: F32,
    python: str | None = None,
    timeout_s: float = TIMEOUT_S,
    *,
    heads: Sequence[str] = (),
) -> KerasAnswer:
    """Run ``batch`` [n, height, width, channels] through the model with the Keras of ``python``.

    Of several outputs, those named in ``heads``, one after the other; without names the main one.
    Unavailable when Keras is not installed there, InvalidInput when it cannot load or run the model.
    """
    origin = model if isinstance(model, Origin) else Origin(model)
    job = {**origin.job("predict"), "heads": list(heads) if len(heads) > 1 else []}
    with _asked(origin, job, batch, python, timeout_s) as answer:
        return KerasAnswer(answer["y"].astype(np.float32), str(answer["version"]))


def trace(origin: Origin, python: str | None = None, timeout_s: float = TIMEOUT_S) -> Graph:
    """What the model does when it predicts (``training=False``), as a graph; errors as of ``predict``."""
    with _asked(origin, origin.job("trace"), np.zeros(0, np.float32), python, timeout_s) as answer:
        document = json.loads(str(answer["graph"]))
        constants = {name: answer[f"c{i}"] for i, name in enumerate(document["constants"])}
        return Graph(document, constants, str(answer["version"]))


@contextmanager
def _asked(
    origin: Origin, document: Mapping[str, object], batch: F32, python: str | None, timeout_s: float
) -> Iterator[Mapping[str, Any]]:
    name = origin.model.name
    with tempfile.TemporaryDirectory(prefix="skerry-keras-") as scratch:
        job, inputs, outputs = Path(scratch, "job.json"), Path(scratch, "in.npz"), Path(scratch, "out.npz")
        job.write_text(json.dumps(document))
        np.savez(inputs, x=batch)
        command = [python or sys.executable, "-P", str(CHILD), str(job), str(inputs), str(outputs)]
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=timeout_s, env=_environment()
            )
        except FileNotFoundError as exc:
            raise Unavailable(f"there is no Python at {python}", hint=HINT) from exc
        except subprocess.TimeoutExpired as exc:
            raise TimedOut(f"Keras did not finish {name} in {timeout_s:.0f} s") from exc
        if done.returncode == NOT_INSTALLED:
            raise Unavailable(f"Keras is not installed: {_last_line(done.stderr)}", hint=HINT)
        if done.returncode != 0:
            raise InvalidInput(
                f"Keras cannot run {name}: {_last_line(done.stderr)}",
                hint="load it in Python with keras.saving.load_model to see more",
                path=str(origin.model),
            )
        with np.load(outputs) as answer:
            yield answer


def _environment() -> dict[str, str]:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    return {**os.environ, "KERAS_BACKEND": "tensorflow", **quiet}


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
