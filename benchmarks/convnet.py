"""The convnet of Keras' first example on digits, with random weights: what people call a small CNN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models import CLASSES, SIDE, Model, package_of
from skerry.sim.scenarios.keras_writer import KerasModelWriter

CONVOLUTION: dict[str, Any] = {
    "kernel_size": [3, 3],
    "strides": [1, 1],
    "padding": "valid",
    "data_format": "channels_last",
    "dilation_rate": [1, 1],
    "activation": "relu",
    "use_bias": True,
}
POOL: dict[str, Any] = {
    "pool_size": [2, 2],
    "strides": [2, 2],
    "padding": "valid",
    "data_format": "channels_last",
}


def digits_convnet(work: Path) -> Model:
    """Two convolutions of 32 and 64 filters, each with pooling, and one dense layer, over 28 × 28 grey."""
    work.mkdir(parents=True)
    random = np.random.default_rng(1)

    def weights(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return random.normal(0, 0.1, shape).astype(np.float32)

    writer = KerasModelWriter("digits")
    x = writer.input("image", (SIDE, SIDE, 1))
    x = writer.layer("Rescaling", "scale", [x], x.shape, {"scale": 1 / 255, "offset": 0.0})
    channels, side = 1, SIDE
    for number, filters in enumerate((32, 64)):
        side -= 2
        found = [weights(3, 3, channels, filters), weights(filters)]
        config = {**CONVOLUTION, "filters": filters}
        x = writer.layer("Conv2D", f"conv{number}", [x], (None, side, side, filters), config, found)
        side //= 2
        x = writer.layer("MaxPooling2D", f"pool{number}", [x], (None, side, side, filters), POOL)
        channels = filters
    size = side * side * channels
    x = writer.layer("Flatten", "flatten", [x], (None, size), {"data_format": "channels_last"})
    dense = {"units": CLASSES, "activation": "softmax", "use_bias": True}
    x = writer.layer(
        "Dense", "predictions", [x], (None, CLASSES), dense, [weights(size, CLASSES), weights(CLASSES)]
    )
    return package_of("digits", writer, x, work, random)
