"""Our resize against TensorFlow's, which Keras' Resizing and image_dataset_from_directory use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skerry.package.framing import Pad
from skerry.package.preprocess import prepare
from skerry.package.recipe import RESIZES, Resize
from tests.unit.package.builders import png, recipe

SIZES = [(32, 40), (96, 97), (7, 120)]


@pytest.mark.parametrize(("method", "antialias"), sorted(RESIZES["tensorflow"]))
@pytest.mark.parametrize("size", SIZES)
def test_resizes_as_tensorflow_does(zoo: Path, method: str, antialias: bool, size: tuple[int, int]) -> None:
    theirs = "lanczos3" if method == "lanczos" else method
    with np.load(zoo / "resize.npz") as data:
        image, expected = png(data["pixels"].astype(np.uint8)), data[f"{theirs} {antialias} {size}"]
    made = prepare(image, recipe(*size, resize=Resize(method, antialias, "tensorflow")))
    assert np.abs(made - expected).max() <= 1e-3


@pytest.mark.parametrize("size", SIZES[:2])
def test_pads_as_tensorflow_does(zoo: Path, size: tuple[int, int]) -> None:
    with np.load(zoo / "resize.npz") as data:
        image, expected = png(data["pixels"].astype(np.uint8)), data[f"pad {size}"]
    made = prepare(image, recipe(*size, resize=Resize.of("bilinear", "tensorflow"), crop=Pad()))
    assert np.abs(made - expected).max() <= 1e-3
