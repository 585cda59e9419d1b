"""ONNX Runtime as we run it: float32 on the CPU, a fixed number of threads, no spinning, no telemetry."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from skerry.errors import Damaged
from skerry.model.keras_file import F32

# Read at import; later wheels phone home without it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as _state

# What the engine raises: kinds of its own that derive from Exception alone, and Python's.
_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(kind for kind in vars(_state).values() if isinstance(kind, type) and issubclass(kind, Exception)),
)


class OnnxSession:
    """A loaded model; ``plain`` runs the graph as it is written, with nothing fused or folded."""

    def __init__(self, model: bytes, threads: int = 1, *, plain: bool = False) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if plain:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except _ERRORS as exc:
            raise Damaged(f"ONNX Runtime cannot load the model: {_first_line(exc)}") from exc
        self._input = self._session.get_inputs()[0].name

    def run(self, batch: F32) -> F32:
        """The numbers of all outputs, one after the other, [n, numbers] for [n, height, width, channels]."""
        made = self.run_all(batch)
        return made[0] if len(made) == 1 else np.concatenate(made, axis=1)

    def run_all(self, batch: F32) -> list[F32]:
        """As ``run``, output by output; Damaged when the model refuses the batch."""
        try:
            made = self._session.run(None, {self._input: batch})
        except _ERRORS as exc:
            raise Damaged(f"ONNX Runtime cannot run the model: {_first_line(exc)}") from exc
        return [np.asarray(output, np.float32) for output in made]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
