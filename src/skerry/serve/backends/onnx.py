"""ONNX Runtime on the CPU as a predictor."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skerry.errors import Damaged, InvalidInput
from skerry.serve.predictor import FloatArray

# More images per call cost memory (a ResNet152 holds some 60 MB of activations each) and give little:
# on CPUs throughput is flat from about 8 images on.
BATCH_MAX = 8

# ONNX Runtime's severities: 3 shows errors and hides the warnings about hardware probes.
LOG_ERRORS = 3


class OnnxPredictor:
    """A session on one model file; close it when done."""

    def __init__(self, session: Any, engine: str) -> None:
        given = session.get_inputs()[0]
        self._session = session
        self._input = given.name
        self._outputs = [output.name for output in session.get_outputs()]
        fixed = given.shape[0] if given.shape and isinstance(given.shape[0], int) else None
        self._fixed_batch = fixed
        self.engine = engine
        self.batch_max = BATCH_MAX if fixed is None else fixed

    @classmethod
    def open(cls, model: Path, *, threads: int, precision: str = "fp32") -> OnnxPredictor:
        """Load ``model`` to run on ``threads`` threads that sleep when idle; ``precision`` is what it holds.

        Raises InvalidInput for less than one thread, Damaged for a file that is not a model.
        """
        if threads < 1:
            raise InvalidInput("a predictor needs at least one thread", field="threads", value=threads)
        # Wheels of other versions report usage unless told not to before they are imported.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        runtime = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = LOG_ERRORS
        # Spinning threads buy 0.1 ms with a whole core (measurements.md part 2 §4.1).
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            session = runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except _errors() as exc:
            raise Damaged(
                f"the model does not load: {_reason(exc)}",
                hint="rebuild it with: skerry model build",
                path=str(model),
            ) from exc
        return cls(session, f"onnxruntime {runtime.__version__} cpu {precision}")

    def infer(self, batch: FloatArray) -> FloatArray:
        """All outputs' numbers ``[N, numbers]`` float32; raises Damaged when the model refuses the batch."""
        size = len(batch)
        if self._fixed_batch is not None and size < self._fixed_batch:
            filler = np.zeros((self._fixed_batch - size, *batch.shape[1:]), np.float32)
            batch = np.concatenate([batch, filler])
        try:
            results = self._session.run(self._outputs, {self._input: batch})
        except _errors() as exc:
            raise Damaged(f"the model does not run: {_reason(exc)}", shape=list(batch.shape)) from exc
        return joined(results, size)

    def close(self) -> None:
        self._session = None


def joined(results: Sequence[Any], size: int) -> FloatArray:
    """The outputs' numbers for the first ``size`` images, one output after the other."""
    rows = [np.asarray(result, np.float32)[:size].reshape(size, -1) for result in results]
    return rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)


def _errors() -> tuple[type[Exception], ...]:
    """What the engine raises: kinds in a module of its own that derive from Exception alone, and Python's."""
    state: dict[str, object] = vars(importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state"))
    own = [kind for kind in state.values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (RuntimeError, ValueError, *own)


def _reason(error: Exception) -> str:
    """The first line of what the engine says, cut to what a person reads."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
