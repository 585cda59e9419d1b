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
# The square of the length below which a vector has no direction (keras.ops.normalize).
DOT_EPSILON = 1e-14


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


def dot(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """The product along one axis of each of two: of vectors one number, of matrices a matrix."""
    left, right = inputs
    if max(len(left.shape), len(right.shape)) > 2:
        raise node.refuse(f"joining shapes {[left.shape, right.shape]}")
    first, second = dot_axes(node, len(left.shape), len(right.shape))
    if left.shape[first - 1] != right.shape[second - 1]:
        raise node.refuse(f"joining shapes {[left.shape, right.shape]} along {(first, second)}")
    names = [left.name, right.name]
    if node.config.get("normalize"):
        names = [_unit(out, name, axis) for name, axis in zip(names, (first, second), strict=True)]
    # [n, rest, joined] times [n, joined, rest].
    a = _with_rest(out, names[0], len(left.shape), first, joined_last=True)
    b = _with_rest(out, names[1], len(right.shape), second, joined_last=False)
    rest = tuple(
        side
        for shape, axis in ((left.shape, first), (right.shape, second))
        for place, side in enumerate(shape, 1)
        if place != axis
    )
    made = out.op("MatMul", [a, b])
    shape = rest or (1,)
    return Tensor(out.op("Reshape", [made, out.whole([-1, *shape], "shape")]), shape)


def dot_axes(node: Node, left: int, right: int) -> tuple[int, int]:
    """The axes of Keras' Dot, counted with the batch, for tensors of these ranks without it."""
    axes = node.config["axes"]
    first, second = (axes, axes) if isinstance(axes, int) else axes
    return first % (left + 1), second % (right + 1)


def _with_rest(out: OnnxWriter, name: str, rank: int, axis: int, *, joined_last: bool) -> str:
    if rank == 1:
        return out.op("Unsqueeze", [name, out.whole([1 if joined_last else 2], "axes")])
    return name if (axis == 2) == joined_last else out.op("Transpose", [name], perm=[0, 2, 1])


def _unit(out: OnnxWriter, name: str, axis: int) -> str:
    """Of length 1 along the axis, as keras.ops.normalize."""
    square = out.op("Mul", [name, name])
    total = out.op("ReduceSum", [square, out.whole([axis], "axes")], keepdims=1)
    floor = out.op("Max", [total, out.number(DOT_EPSILON, "floor")])
    return out.op("Div", [name, out.op("Sqrt", [floor])])


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
