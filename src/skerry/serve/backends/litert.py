"""LiteRT (TensorFlow Lite's runtime) on the CPU as a predictor: smallest, and first to start."""

from __future__ import annotations

import importlib
import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np

from skerry.errors import Damaged, InvalidInput, Unavailable
from skerry.serve.backends.onnx import BATCH_MAX, joined
from skerry.serve.predictor import FloatArray


class LiteRtPredictor:
    """An interpreter on one model file; it is resized whenever the batch has another size than before."""

    def __init__(self, interpreter: Any, engine: str) -> None:
        given = interpreter.get_input_details()[0]
        signature = [int(side) for side in given["shape_signature"]]
        self._interpreter = interpreter
        self._input = int(given["index"])
        self._outputs = [int(each["index"]) for each in interpreter.get_output_details()]
        self._fixed_batch = signature[0] if signature[0] > 0 else None
        self._shape: tuple[int, ...] = tuple(int(side) for side in given["shape"])
        self._allocated = False
        self.engine = engine
        self.batch_max = self._fixed_batch or BATCH_MAX

    @classmethod
    def open(cls, model: Path, *, threads: int) -> LiteRtPredictor:
        """Load the ``.tflite`` file to run on ``threads`` threads.

        InvalidInput for less than one thread, Unavailable without LiteRT, Damaged for a file that is not a
        model.
        """
        if threads < 1:
            raise InvalidInput("a predictor needs at least one thread", field="threads", value=threads)
        try:
            runtime = importlib.import_module("ai_edge_litert.interpreter")
        except ImportError as exc:
            raise Unavailable(
                "LiteRT is not installed", hint="install it with: pip install 'skerry[litert]'"
            ) from exc
        try:
            interpreter = runtime.Interpreter(model_path=str(model), num_threads=threads)
        except (RuntimeError, ValueError) as exc:
            raise Damaged(
                f"the model does not load: {_reason(exc)}",
                hint="rebuild it with: skerry model build",
                path=str(model),
            ) from exc
        return cls(interpreter, f"litert {_version()} cpu fp32")

    def infer(self, batch: FloatArray) -> FloatArray:
        """All outputs' numbers ``[N, numbers]`` float32; raises Damaged when the model refuses the batch."""
        size = len(batch)
        if self._fixed_batch is not None and size < self._fixed_batch:
            filler = np.zeros((self._fixed_batch - size, *batch.shape[1:]), np.float32)
            batch = np.concatenate([batch, filler])
        try:
            self._allocate(batch.shape)
            self._interpreter.set_tensor(self._input, np.ascontiguousarray(batch, np.float32))
            self._interpreter.invoke()
            results = [self._interpreter.get_tensor(index) for index in self._outputs]
        except (RuntimeError, ValueError) as exc:
            raise Damaged(f"the model does not run: {_reason(exc)}", shape=list(batch.shape)) from exc
        return joined(results, size)

    def close(self) -> None:
        self._interpreter = None

    def _allocate(self, shape: tuple[int, ...]) -> None:
        if self._allocated and shape == self._shape:
            return
        if shape != self._shape:
            self._allocated = False
            self._interpreter.resize_tensor_input(self._input, list(shape), strict=True)
        self._interpreter.allocate_tensors()
        self._allocated, self._shape = True, shape


def _version() -> str:
    return importlib.metadata.version("ai-edge-litert")


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
