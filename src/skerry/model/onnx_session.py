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


class OnnxSession:
    """A loaded model."""

    def __init__(self, model: bytes, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except RuntimeError as exc:
            raise Damaged(f"ONNX Runtime cannot load the model: {exc}") from exc
        self._input = self._session.get_inputs()[0].name

    def run(self, batch: F32) -> F32:
        """The outputs [n, outputs] for inputs [n, height, width, channels], both float32."""
        return np.asarray(self._session.run(None, {self._input: batch})[0], np.float32)
