"""ResNet50 with random weights: what a large CNN costs; batch normalisations folded, as engines do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skerry.sim.scenarios.keras_writer import KerasModelWriter, Output

SIDE, CLASSES = 224, 1000
# blocks, channels inside, stride of the first
STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))
WIDER = 4


def write_resnet50(path: Path) -> None:
    """A genuine ``.keras`` file of the architecture (He et al. 2015)."""
    net = _Net()
    x = net.model.input("image", (SIDE, SIDE, 3))
    x = net.model.layer("Rescaling", "scale", [x], x.shape, {"scale": 1 / 127.5, "offset": -1.0})
    x = net.convolution(x, 64, 7, 2, "relu")
    pool = {"pool_size": [3, 3], "strides": [2, 2], "padding": "same", "data_format": "channels_last"}
    side = SIDE // 4
    x = net.model.layer("MaxPooling2D", "pool", [x], (None, side, side, 64), pool)
    for blocks, channels, stride in STAGES:
        for number in range(blocks):
            x = net.block(x, channels, stride if number == 0 else 1)
    x = net.model.layer("GlobalAveragePooling2D", "average", [x], (None, x.shape[-1]))
    weights = [net.random.normal(0, 0.02, (x.shape[-1] or 0, CLASSES)), np.zeros(CLASSES)]
    dense = {"units": CLASSES, "activation": "softmax", "use_bias": True}
    x = net.model.layer(
        "Dense", "predictions", [x], (None, CLASSES), dense, [each.astype(np.float32) for each in weights]
    )
    net.model.save(path, x)


@dataclass
class _Net:
    model: KerasModelWriter = field(default_factory=lambda: KerasModelWriter("resnet50"))
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    made: int = 0

    def block(self, x: Output, channels: int, stride: int) -> Output:
        """1 × 1, 3 × 3, 1 × 1, and what came in added."""
        wide = channels * WIDER
        shortcut = (
            x if x.shape[-1] == wide and stride == 1 else self.convolution(x, wide, 1, stride, "linear")
        )
        y = self.convolution(x, channels, 1, stride, "relu")
        y = self.convolution(y, channels, 3, 1, "relu")
        # Small, so that the sum of sixteen blocks stays near 1.
        y = self.convolution(y, wide, 1, 1, "linear", gain=0.3)
        self.made += 1
        y = self.model.layer("Add", f"add{self.made}", [shortcut, y], y.shape)
        return self.model.layer("ReLU", f"relu{self.made}", [y], y.shape)

    def convolution(
        self, x: Output, filters: int, kernel: int, stride: int, activation: str, gain: float = 1.0
    ) -> Output:
        self.made += 1
        into = x.shape[-1] or 0
        side = -(-(x.shape[1] or 0) // stride)
        deviation = gain * np.sqrt(2 / (kernel * kernel * into))
        weights = self.random.normal(0, deviation, (kernel, kernel, into, filters)).astype(np.float32)
        config = {
            "filters": filters,
            "kernel_size": [kernel, kernel],
            "strides": [stride, stride],
            "padding": "same",
            "data_format": "channels_last",
            "dilation_rate": [1, 1],
            "activation": activation,
            "use_bias": True,
        }
        shape = (None, side, side, filters)
        return self.model.layer(
            "Conv2D", f"conv{self.made}", [x], shape, config, [weights, np.zeros(filters, np.float32)]
        )
