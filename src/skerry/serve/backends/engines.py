"""The engines by name: how each opens a model file."""

from __future__ import annotations

from pathlib import Path

from skerry.errors import Unsupported
from skerry.package.candidate import Candidate
from skerry.serve.backends.litert import LiteRtPredictor
from skerry.serve.backends.onnx import OnnxPredictor
from skerry.serve.backends.openvino import OpenVinoPredictor
from skerry.serve.predictor import Predictor

ENGINES = ("onnxruntime", "openvino", "litert")


def open_engine(engine: str, precision: str, model: Path, *, threads: int) -> Predictor:
    """``model`` loaded into ``engine``.

    Unavailable when the engine is not installed, Unsupported when this machine or Skerry cannot run it so,
    Damaged when the file is no model.
    """
    match engine:
        case "onnxruntime":
            return OnnxPredictor.open(model, threads=threads, precision=precision)
        case "openvino":
            return OpenVinoPredictor.open(model, threads=threads, precision=precision)
        case "litert":
            return LiteRtPredictor.open(model, threads=threads)
    raise Unsupported(f"no engine {engine!r}", hint=f"one of {', '.join(ENGINES)}", engine=engine)


def open_candidate(candidate: Candidate, directory: Path, *, threads: int) -> Predictor:
    """The candidate of the package in ``directory``, loaded. Raises as ``open_engine`` does."""
    return open_engine(candidate.engine, candidate.precision, directory / candidate.file, threads=threads)
