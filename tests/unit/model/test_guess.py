"""The scaling told from the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from skerry.model.graph import read_network
from skerry.model.guess import guess_scaling
from skerry.model.network import Network, Node


def network(name: str, *layers: str, first: str = "Conv2D") -> Network:
    nodes = tuple(Node(layer, first if i == 0 else "Conv2D", {}, (), ()) for i, layer in enumerate(layers))
    return Network(name, "image", (8, 8, 3), nodes, layers[-1], "3", len(nodes), 0, (layers[-1],))


@pytest.mark.parametrize(
    ("found", "scaling", "why"),
    [
        (network("resnet50", "a"), "caffe", "'resnet50' is of keras.applications"),
        (network("mine", "resnet50v2/a", "head"), "tf", "'resnet50v2'"),
        (network("mobilenet_1.00_224", "a"), "tf", "'mobilenet_1.00_224'"),
        (network("densenet121", "a"), "torch", "'densenet121'"),
        (network("mine", "vgg16/block1_conv1", "head"), "caffe", "'vgg16'"),
        (network("mine", "block1_conv1", "block1_pool"), "caffe", "layers are those of VGG"),
        (network("mine", "conv2_block1_1_conv", "conv2_block1_out"), "caffe", "those of ResNet"),
        (network("mine", "conv2_block1_1_conv", "conv2_block1_concat"), "torch", "those of DenseNet"),
        (network("efficientnetb0", "rescaling", "a", first="Rescaling"), "none", "rescales its input itself"),
        (network("resnet50", "divide", "a", first="ops.Divide"), "none", "rescales its input itself"),
        (network("mine", "a"), "none", "nothing in the model tells"),
    ],
)
def test_the_scaling_is_told_from_layers_and_names(found: Network, scaling: str, why: str) -> None:
    guess = guess_scaling(found)
    assert guess.scaling == scaling
    assert why in guess.why
    assert guess.sure == (why != "nothing in the model tells")


def test_real_models_are_known_by_their_layers_when_renamed(zoo: Path) -> None:
    for file, scaling in (("mobilenet_v2", "tf"), ("resnet50", "caffe"), ("transfer", "none")):
        assert guess_scaling(replace(read_network(zoo / f"{file}.keras"), name="mine")).scaling == scaling
