"""Small recipes and images for tests."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from skerry.package.recipe import InputSpec, Label, OutputSpec, Recipe


def recipe(height: int = 8, width: int = 8, channels: int = 3, labels: int = 4, **options: Any) -> Recipe:
    """A softmax recipe; a colour follows from the channels unless a ``decode`` is given."""
    names = tuple(Label(f"n{i}", f"thing {i}") for i in range(labels))
    output = OutputSpec("probs", options.pop("kind", "softmax"), names, min(3, labels))
    return Recipe(InputSpec("image", height, width, channels), output, **options)


def pixels(height: int = 12, width: int = 16, seed: int = 0) -> NDArray[np.uint8]:
    """Random RGB pixels."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def png(array: NDArray[np.uint8]) -> bytes:
    """The pixels as a PNG file, lossless."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()
