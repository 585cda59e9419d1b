"""OpenVINO on the CPU as a predictor, with the precision always said."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from skerry.errors import Damaged, InvalidInput, Unavailable, Unsupported
from skerry.serve.backends.onnx import BATCH_MAX, joined
from skerry.serve.predictor import FloatArray

# Without a hint the plugin computes in bfloat16 where the CPU can (measurements.md part 2 §2), which is
# another model. Below an int8 graph, "f32" is what its unquantised layers compute in.
HINTS = {"fp32": "f32", "int8": "f32", "bf16": "bf16"}
BF16_CAPABILITY = "BF16"


class OpenVinoPredictor:
    """A compiled model with one inference request; close it when done."""

    def __init__(self, compiled: Any, engine: str) -> None:
        self._compiled = compiled
        self._request = compiled.create_infer_request()
        batch = compiled.input(0).get_partial_shape()[0]
        self._fixed_batch = None if batch.is_dynamic else int(batch.get_length())
        self.engine = engine
        self.batch_max = self._fixed_batch or BATCH_MAX

    @classmethod
    def open(cls, model: Path, *, threads: int, precision: str = "fp32") -> OpenVinoPredictor:
        """Load ``model`` (ONNX or OpenVINO IR) to run on ``threads`` threads.

        InvalidInput for less than one thread, Unavailable without OpenVINO, Unsupported when this CPU has no
        arithmetic of that precision, Damaged for a file that is not a model.
        """
        if threads < 1:
            raise InvalidInput("a predictor needs at least one thread", field="threads", value=threads)
        try:
            runtime = importlib.import_module("openvino")
        except ImportError as exc:
            raise Unavailable(
                "OpenVINO is not installed", hint="install it with: pip install 'skerry[openvino]'"
            ) from exc
        core = runtime.Core()
        if precision == "bf16" and BF16_CAPABILITY not in core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            raise Unsupported("this CPU has no bfloat16 arithmetic")
        settings = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads),
        }
        try:
            compiled = core.compile_model(core.read_model(str(model)), "CPU", settings)
        except RuntimeError as exc:
            raise Damaged(
                f"the model does not load: {_reason(exc)}",
                hint="rebuild it with: skerry model build",
                path=str(model),
            ) from exc
        version = str(runtime.__version__).split("-")[0]
        return cls(compiled, f"openvino {version} cpu {precision}")

    def infer(self, batch: FloatArray) -> FloatArray:
        """All outputs' numbers ``[N, numbers]`` float32; raises Damaged when the model refuses the batch."""
        size = len(batch)
        if self._fixed_batch is not None and size < self._fixed_batch:
            filler = np.zeros((self._fixed_batch - size, *batch.shape[1:]), np.float32)
            batch = np.concatenate([batch, filler])
        try:
            found = self._request.infer({0: np.ascontiguousarray(batch)}, share_inputs=True)
            # A copy: the engine writes its next answer over this one.
            return joined([np.array(found[place]) for place in range(len(found))], size)
        except (RuntimeError, ValueError, TypeError) as exc:
            raise Damaged(f"the model does not run: {_reason(exc)}", shape=list(batch.shape)) from exc

    def close(self) -> None:
        self._request = self._compiled = None


def _reason(error: Exception) -> str:
    """The last line of what the engine says (the first ones are its source files), cut to what one reads."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
