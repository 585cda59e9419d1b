"""How the training scaled its pixels, told from the model: its own preprocessing layers, or its family."""

from __future__ import annotations

import re
from dataclasses import dataclass

from skerry.model.network import Network

_RESCALING = ("Rescaling", "Normalization")
# Preprocessing stands before the first layer that learns; a cast or a slice may come before it.
_FIRST = 6
# What models of keras.applications are called, and how their preprocess_input scales.
_NAMES = (
    (r"resnet\d+v2", "tf"),
    (r"resnet\d+|vgg\d+", "caffe"),
    (r"inception|xception|nasnet|mobilenet(v2)?_\d", "tf"),
    (r"densenet\d+", "torch"),
)
# Layers that only one family has, for models whose name is the user's. The first that fits counts.
_LAYERS = (
    ("DenseNet", {"conv2_block1_concat"}, "torch"),
    ("ResNetV2", {"conv2_block1_preact_bn"}, "tf"),
    ("ResNet", {"conv2_block1_1_conv", "conv2_block1_out"}, "caffe"),
    ("MobileNetV2", {"Conv1", "expanded_conv_depthwise"}, "tf"),
    ("MobileNet", {"conv_dw_1", "conv_pw_1"}, "tf"),
    ("Xception", {"block1_conv1", "block1_conv1_bn"}, "tf"),
    ("VGG", {"block1_conv1", "block1_pool"}, "caffe"),
    ("Inception", {"mixed5"}, "tf"),
    ("NASNet", {"stem_conv1", "stem_bn1"}, "tf"),
)


@dataclass(frozen=True, slots=True)
class Guess:
    """The name of a scaling, and a reason that a person can check; ``sure`` where the model says it."""

    scaling: str
    why: str
    sure: bool = True


def guess_scaling(network: Network) -> Guess:
    """What scaling the model wants before its first layer."""
    if rescales(network):
        return Guess("none", "the model rescales its input itself")
    parts = {part for node in network.nodes for part in node.name.split("/")[:-1]}
    for name in (network.name, *sorted(parts)):
        for pattern, scaling in _NAMES:
            if re.match(pattern, name, re.IGNORECASE):
                return Guess(scaling, f"{name!r} is of keras.applications")
    layers = {node.name.rpartition("/")[2] for node in network.nodes}
    for family, needed, scaling in _LAYERS:
        if needed <= layers:
            return Guess(scaling, f"its layers are those of {family}")
    return Guess("none", "nothing in the model tells", sure=False)


def rescales(network: Network) -> bool:
    """Whether the model's first layers scale the pixels."""
    return any(node.kind in _RESCALING or node.kind.startswith("ops.") for node in network.nodes[:_FIRST])
