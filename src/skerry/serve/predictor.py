"""The port to an inference engine: a batch of prepared images in, a batch of probabilities out."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


class Predictor(Protocol):
    """One loaded model. ``infer`` is called by one thread at a time and never by the event loop."""

    @property
    def engine(self) -> str:
        """What computes, for people and reports: ``onnxruntime 1.23.2 cpu fp32``."""

    @property
    def batch_max(self) -> int:
        """The largest batch that ``infer`` takes; 1 for a model whose batch size is fixed."""

    def infer(self, batch: FloatArray) -> FloatArray:
        """All outputs' numbers ``[N, numbers]``, one output after the other, float32.

        For images ``[N, height, width, channels]`` float32.
        """

    def close(self) -> None:
        """Give the engine's memory back; the predictor is not used afterwards."""
