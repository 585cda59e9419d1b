"""The LiteRT file of a Keras model, made by TensorFlow in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from skerry.errors import TimedOut, Unavailable, Unsupported
from skerry.model import keras_runtime

CHILD = Path(__file__).with_name("litert_child.py")
NOT_INSTALLED = 3
HINT = "install it with: pip install 'skerry[keras]'"
# ResNet152 takes 36 s on two free cores.
TIMEOUT_S = 600


def convert_to_litert(model: Path, heads: Sequence[str] = (), timeout_s: float = TIMEOUT_S) -> bytes:
    """The ``.tflite`` file, float32, of a model file that Keras loads.

    The numbers of the outputs named in ``heads`` become one output, in that order: LiteRT keeps none.

    Unavailable without Keras and TensorFlow, Unsupported when one of them refuses the model.
    """
    if not keras_runtime.is_installed():
        raise Unavailable("converting to LiteRT needs Keras and TensorFlow", hint=HINT)
    with tempfile.TemporaryDirectory(prefix="skerry-litert-") as scratch:
        made = Path(scratch, "model.tflite")
        command = [sys.executable, "-P", str(CHILD), str(model), str(made), *heads]
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=timeout_s, env=environment
            )
        except subprocess.TimeoutExpired as exc:
            raise TimedOut(f"LiteRT's converter did not finish in {timeout_s:.0f} s") from exc
        if done.returncode == NOT_INSTALLED:
            raise Unavailable(f"Keras is not installed: {_last_line(done.stderr)}", hint=HINT)
        if done.returncode != 0:
            raise Unsupported(f"LiteRT's converter refuses the model: {_last_line(done.stderr)}")
        return made.read_bytes()


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"
