"""A real package of the tiny network, with every candidate that needs no conversion by Keras."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skerry.model.quantise import quantise
from skerry.package.candidate import Candidate
from skerry.package.manifest import GoldenSample, write_package
from skerry.package.preprocess import prepare
from skerry.package.recipe import InputSpec, Label, OutputSpec, Recipe, Scaling
from tests.unit.model.conv_model import CLASSES, SIDE, conv_model, conv_outputs
from tests.unit.package.builders import pixels, png

RECIPE = Recipe(
    InputSpec("image", SIDE, SIDE, 3),
    OutputSpec("probs", "softmax", tuple(Label(f"c{i}", f"<kind {i}>") for i in range(CLASSES)), 2),
    scaling=Scaling((1 / 255,), (0.0,)),
)
CANDIDATES = (
    Candidate("onnx-fp32", "onnxruntime", "fp32", "model.onnx", 1e-4),
    Candidate("onnx-int8", "onnxruntime", "int8", "model.int8.onnx", 0.2),
    Candidate("openvino-fp32", "openvino", "fp32", "model.onnx", 1e-4),
)


def write_small_package(directory: Path, *, shift: float = 0.0) -> str:
    """The package's digest; ``shift`` is added to the recorded answers, which makes them wrong."""
    images = [png(pixels(20, 24, seed=i)) for i in range(6)]
    inputs = np.stack([prepare(image, RECIPE) for image in images])
    expected = conv_outputs(inputs) + np.float32(shift)
    return write_package(
        directory,
        name="tiny",
        model={"model.onnx": conv_model(), "model.int8.onnx": quantise(conv_model(), inputs)},
        recipe=RECIPE,
        golden=[GoldenSample(image, row) for image, row in zip(images, expected, strict=True)],
        certificate={"reference": "numpy", "maxAbsDifference": 1e-6},
        candidates=CANDIDATES,
    )
