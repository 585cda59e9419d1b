"""The engines by name: how each opens a model file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from skerry.errors import Unsupported
from skerry.package.candidate import ENGINES, PRECISIONS, Candidate
from skerry.serve.predictor import Predictor

MODULES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "litert": "ai_edge_litert"}


def installed(engine: str) -> bool:
    """Whether the engine is there; it is not loaded."""
    return importlib.util.find_spec(MODULES[engine]) is not None


def open_engine(engine: str, precision: str, model: Path, *, threads: int) -> Predictor:
    """``model`` loaded into ``engine``.

    Unavailable when the engine is not installed, Unsupported when this machine or Skerry cannot run it so,
    Damaged when the file is no model.
    """
    if precision not in PRECISIONS:
        raise Unsupported(f"no precision {precision!r}", hint=f"one of {', '.join(PRECISIONS)}")
    # Imported as needed: a module runs one of them.
    match engine:
        case "onnxruntime":
            from skerry.serve.backends.onnx import OnnxPredictor

            return OnnxPredictor.open(model, threads=threads, precision=precision)
        case "openvino":
            from skerry.serve.backends.openvino import OpenVinoPredictor

            return OpenVinoPredictor.open(model, threads=threads, precision=precision)
        case "litert":
            from skerry.serve.backends.litert import LiteRtPredictor

            return LiteRtPredictor.open(model, threads=threads)
    raise Unsupported(f"no engine {engine!r}", hint=f"one of {', '.join(ENGINES)}", engine=engine)


def open_candidate(candidate: Candidate, directory: Path, *, threads: int) -> Predictor:
    """The candidate of the package in ``directory``, loaded. Raises as ``open_engine`` does."""
    return open_engine(candidate.engine, candidate.precision, directory / candidate.file, threads=threads)
