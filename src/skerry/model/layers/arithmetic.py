"""Layers that combine or rescale values element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from skerry.errors import InvalidInput
from skerry.model.layers.options import last_axis, weights
from skerry.model.network import Node
from skerry.model.onnx_writer import OnnxWriter, Tensor

# Keras' own floor under the standard deviation (keras.config.epsilon()).
NORMALIZATION_EPSILON = 1e-7


def merging(kind: str, *, mean: bool = False) -> Callable[[OnnxWriter, Node, Sequence[Tensor]], Tensor]:
    """Add, Multiply, Maximum … of two or more tensors that broadcast."""

    def emit(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
        if len({len(x.shape) for x in inputs}) != 1:
            raise node.refuse(f"joining shapes {[x.shape for x in inputs]}")
        current = inputs[0]
        for other in inputs[1:]:
            shape = broadcast(node, current.shape, other.shape)
            current = Tensor(out.op(kind, [current.name, other.name]), shape)
        if mean:
            name = out.op("Mul", [current.name, out.number(1 / len(inputs), "share")])
            return Tensor(name, current.shape)
        return current

    return emit


def broadcast(node: Node, first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of two joined; InvalidInput naming the layer when they do not fit."""
    try:
        return tuple(np.broadcast_shapes(first, second))
    except ValueError as exc:
        raise InvalidInput(f"layer {node.name!r} joins {first} and {second}", layer=node.name) from exc


def rescaling(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    x = inputs[0]
    scale = out.channel_constant(np.asarray(node.config["scale"], np.float32), x, "scale")
    offset = out.channel_constant(np.asarray(node.config.get("offset", 0.0), np.float32), x, "offset")
    return Tensor(out.op("Add", [out.op("Mul", [x.name, scale]), offset]), x.shape)


def normalization(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """(x - mean) / deviation per channel; with ``invert`` the way back."""
    x = inputs[0]
    # No axis (None, saved as an empty list) means one mean for everything.
    if node.config.get("axis", -1) not in (None, [], ()):
        last_axis(node, len(x.shape) + 1)
    mean, variance = (np.asarray(a, np.float32) for a in statistics(node))
    if mean.size not in (1, x.channels):
        raise node.refuse(f"a mean of shape {mean.shape}")
    deviation = np.maximum(np.sqrt(variance), np.float32(NORMALIZATION_EPSILON))
    centre = out.channel_constant(mean.reshape(-1), x, "mean")
    spread = out.channel_constant(deviation.reshape(-1), x, "deviation")
    if node.config.get("invert"):
        return Tensor(out.op("Add", [centre, out.op("Mul", [x.name, spread])]), x.shape)
    return Tensor(out.op("Div", [out.op("Sub", [x.name, centre]), spread]), x.shape)


def statistics(node: Node) -> tuple[object, object]:
    """Mean and variance of a Normalization: given in its config, else adapted and stored as weights."""
    if node.config.get("mean") is not None:
        return node.config["mean"], node.config["variance"]
    mean, variance, _ = weights(node, 3)
    return mean, variance


def custom_scale(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """The residual of InceptionResNet: the first plus ``scale`` times the second."""
    scaled = out.op("Mul", [inputs[1].name, out.number(float(node.config["scale"]), "scale")])
    return Tensor(out.op("Add", [inputs[0].name, scaled]), inputs[0].shape)


def layer_scale(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """One learned factor per channel, as in ConvNeXt."""
    (gamma,) = weights(node, 1)
    return Tensor(
        out.op("Mul", [inputs[0].name, out.channel_constant(gamma, inputs[0], "gamma")]), inputs[0].shape
    )
