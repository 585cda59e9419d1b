"""Our resize against TensorFlow's, which Keras' Resizing and image_dataset_from_directory use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skerry.package.preprocess import prepare
from skerry.package.recipe import Resize
from tests.unit.package.builders import png, recipe


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
@pytest.mark.parametrize(("suffix", "height", "width"), [("", 32, 40), ("_larger", 96, 97)])
def test_resizes_as_tensorflow_does(zoo: Path, method: str, suffix: str, height: int, width: int) -> None:
    with np.load(zoo / "resize.npz") as data:
        image, expected = png(data["pixels"].astype(np.uint8)), data[method + suffix]
    made = prepare(image, recipe(height, width, resize=Resize.of(method, "tensorflow")))
    assert np.abs(made - expected).max() <= 1e-4
