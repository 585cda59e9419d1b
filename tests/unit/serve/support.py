"""A real package with a real, tiny ONNX model: its classes are red, green and blue."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from skerry.clock import SystemClock
from skerry.package.candidate import Candidate
from skerry.package.manifest import GoldenSample, write_package
from skerry.package.preprocess import prepare
from skerry.package.recipe import InputSpec, Label, OutputSpec, Recipe, Scaling
from skerry.serve.activation import Activated, activate
from skerry.serve.backends.engines import open_candidate
from skerry.serve.predictor import Predictor
from skerry.serve.scoring import Scorer

SIDE = 8
SHARPNESS = 6.0
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)

RECIPE = Recipe(
    input=InputSpec("image", SIDE, SIDE, 3),
    output=OutputSpec(
        "probabilities", "softmax", (Label("c0", "red"), Label("c1", "green"), Label("c2", "blue")), top_k=3
    ),
    scaling=Scaling((1 / 255,), (0.0,)),
)


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (16, 12), kind: str = "PNG") -> bytes:
    """The bytes of an image file of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def colour_model(batch: int | str = "N") -> bytes:
    """An ONNX model: softmax of the mean colour, sharpened; ``batch`` is a name or a fixed size."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(np.eye(3, dtype=np.float32) * SHARPNESS, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    found: bytes = model.SerializeToString()
    return found


def expected(image: bytes) -> NDArray[np.float32]:
    """What the model must give for the image, computed without ONNX Runtime."""
    logits = prepare(image, RECIPE).mean(axis=(0, 1)) * SHARPNESS
    raised = np.exp(logits - logits.max())
    return np.asarray(raised / raised.sum(), np.float32)


def make_package(
    directory: Path,
    *,
    model: bytes | None = None,
    golden: Sequence[GoldenSample] | None = None,
    certificate: dict[str, object] | None = None,
) -> str:
    """Write the package and return its digest."""
    if golden is None:
        golden = [GoldenSample(image, expected(image)) for image in map(picture, (RED, GREEN, BLUE))]
    return write_package(
        directory,
        name="colours",
        model=model or colour_model(),
        recipe=RECIPE,
        golden=golden,
        certificate=certificate or {},
    )


def open_predictor(candidate: Candidate, directory: Path, threads: int) -> Predictor:
    return open_candidate(candidate, directory, threads=threads)


def activated_package(directory: Path) -> Activated:
    """A package made in ``directory`` and activated."""
    make_package(directory)
    return activate(directory, open_predictor)


def make_scorer(directory: Path, *, admitted_max: int = 64) -> Scorer:
    """A scorer of the colour model; call it in a running loop."""
    activated = activated_package(directory)
    return Scorer(activated.package, activated.predictor, clock=SystemClock(), admitted_max=admitted_max)
