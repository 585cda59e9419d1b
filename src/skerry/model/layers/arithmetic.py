"""Layers that combine or rescale values element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from skerry.errors import InvalidInput
from skerry.model.graph import Node
from skerry.model.keras_file import F32
from skerry.model.layers.options import last_axis, only, weights
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
            shape = _broadcast(node, current.shape, other.shape)
            current = Tensor(out.op(kind, [current.name, other.name]), shape)
        if mean:
            name = out.op("Mul", [current.name, out.number(1 / len(inputs), "share")])
            return Tensor(name, current.shape)
        return current

    return emit


def operation(kind: str) -> Callable[[OnnxWriter, Node, Sequence[Tensor]], Tensor]:
    """``a + b`` and the like, where one of the two may be a number."""

    def emit(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
        if len(node.operands) != 2:
            raise node.refuse(f"{len(node.operands)} operands")
        tensors = iter(inputs)
        sides = [next(tensors) if isinstance(o, str) else o for o in node.operands]
        names = [s.name if isinstance(s, Tensor) else out.number(s, "number") for s in sides]
        shapes = [x.shape for x in inputs]
        if len(shapes) == 2 and len(shapes[0]) != len(shapes[1]):
            raise node.refuse(f"joining shapes {shapes}")
        return Tensor(out.op(kind, names), _broadcast(node, shapes[0], shapes[-1]))

    return emit


def _broadcast(node: Node, first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
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


def batch_normalization(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    x = inputs[0]
    last_axis(node, len(x.shape) + 1)
    gamma, beta, mean, variance = batch_statistics(node)
    if x.is_image:
        given = [out.constant(a, w) for a, w in zip((gamma, beta, mean, variance), _BATCH_NAMES, strict=True)]
        epsilon = float(node.config["epsilon"])
        return Tensor(out.op("BatchNormalization", [x.name, *given], epsilon=epsilon), x.shape)
    scale = gamma / np.sqrt(variance + np.float32(node.config["epsilon"]))
    name = out.op("Mul", [x.name, out.channel_constant(scale, x, "scale")])
    return Tensor(out.op("Add", [name, out.channel_constant(beta - mean * scale, x, "shift")]), x.shape)


_BATCH_NAMES = ("gamma", "beta", "mean", "variance")


def batch_statistics(node: Node) -> tuple[F32, F32, F32, F32]:
    """Gamma, beta, mean, variance; gamma is 1 and beta 0 where the layer has none."""
    only(node, renorm=False)
    scale, centre = bool(node.config.get("scale", True)), bool(node.config.get("center", True))
    arrays = iter(weights(node, 2 + scale + centre))
    gamma = next(arrays) if scale else None
    beta = next(arrays) if centre else None
    mean, variance = next(arrays), next(arrays)
    return (
        np.ones_like(mean) if gamma is None else gamma,
        np.zeros_like(mean) if beta is None else beta,
        mean,
        variance,
    )


def layer_normalization(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    x = inputs[0]
    only(node, rms_scaling=False)
    last_axis(node, len(x.shape) + 1)
    gamma, beta = layer_statistics(node, x.channels)
    given = [out.to_keras(x), out.constant(gamma, "gamma"), out.constant(beta, "beta")]
    name = out.op("LayerNormalization", given, axis=-1, epsilon=float(node.config["epsilon"]))
    return out.from_keras(name, x.shape)


def layer_statistics(node: Node, channels: int) -> tuple[F32, F32]:
    """Gamma and beta of a LayerNormalization."""
    scale, centre = bool(node.config.get("scale", True)), bool(node.config.get("center", True))
    arrays = iter(weights(node, scale + centre))
    gamma = next(arrays) if scale else np.ones(channels, np.float32)
    beta = next(arrays) if centre else np.zeros(channels, np.float32)
    return gamma, beta
