"""From fp32 to int8: static QDQ quantisation of the ONNX model, calibrated on the samples.

Activations uint8, weights int8 per channel: what ONNX Runtime and OpenVINO both run fast on x86 and arm64
(measurements.md part 2 §2; signed activations are four times slower on x86).
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnx
from google.protobuf.message import DecodeError
from onnxruntime.capi import onnxruntime_pybind11_state
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

from skerry.errors import InvalidInput, Unsupported
from skerry.model.candidates import CALIBRATION_MAX
from skerry.model.keras_file import F32

# Fewer say little about the ranges; the build goes on and says so.
CALIBRATION_ADVISED = 32
# The heavy operators, and those between them, so that values stay int8 from one to the next. Relu and Clip
# belong here: left out, the range before the clipping is quantised, and half of the answers change.
OPERATORS = [
    "Conv",
    "MatMul",
    "Gemm",
    "Add",
    "AveragePool",
    "GlobalAveragePool",
    "MaxPool",
    "Concat",
    "Relu",
    "Clip",
]


def quantise(model: bytes, inputs: F32) -> bytes:
    """The model in int8, calibrated on up to CALIBRATION_MAX of ``inputs`` [n, height, width, channels].

    Same arguments, same bytes. Input and output stay float32. InvalidInput without inputs, Unsupported when
    the quantiser refuses the model.
    """
    if len(inputs) == 0:
        raise InvalidInput("int8 needs samples to calibrate on", hint="give a folder of images: --samples")
    with tempfile.TemporaryDirectory(prefix="skerry-int8-") as scratch, _quiet():
        made = Path(scratch, "int8.onnx")
        try:
            graph = onnx.load_from_string(model)
            quantize_static(
                graph,
                str(made),
                _Samples(graph.graph.input[0].name, inputs),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=OPERATORS,
            )
        except _errors() as exc:
            raise Unsupported(f"the quantiser refuses the model: {_line(exc)}") from exc
        return _without_traces(made)


class _Samples:
    """A calibration data reader: one image at a time, spread over the samples, which are ordered by class."""

    def __init__(self, name: str, inputs: F32) -> None:
        count = min(len(inputs), CALIBRATION_MAX)
        places = [i * len(inputs) // count for i in range(count)]
        self._rest = ({name: np.ascontiguousarray(inputs[i : i + 1])} for i in places)

    def get_next(self) -> dict[str, F32] | None:
        return next(self._rest, None)


def _without_traces(path: Path) -> bytes:
    """The file without what tells builder from builder: tool version and documentation."""
    graph = onnx.load(str(path))
    graph.producer_name, graph.producer_version = "skerry", ""
    graph.doc_string = graph.graph.doc_string = ""
    data: bytes = graph.SerializeToString(deterministic=True)
    return data


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's advice on the root logger, which is about its own command line."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)


def _errors() -> tuple[type[Exception], ...]:
    """What the quantiser raises for a model it cannot take: the engine's kinds, protobuf's, and Python's."""
    own = [
        kind
        for kind in vars(onnxruntime_pybind11_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ]
    usual = (RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError)
    return (DecodeError, *usual, *own)


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
