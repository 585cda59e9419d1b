"""Normalisation over the batch's, the layer's or a group's own statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skerry.model.keras_file import F32
from skerry.model.layers.options import last_axis, only, weights
from skerry.model.network import Node
from skerry.model.onnx_writer import OnnxWriter, Tensor

# Under the length of a vector in UnitNormalization: the square root of Keras' 1e-12.
UNIT_EPSILON = 1e-6


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


def group_normalization(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """Each group of channels by its own mean and variance, over the whole image."""
    x = inputs[0]
    last_axis(node, len(x.shape) + 1)
    if not x.is_image:
        raise node.refuse(f"an input of shape {x.shape}")
    groups = group_count(node, x.channels)
    gamma, beta = layer_statistics(node, x.channels)
    height, width, channels = x.shape
    rows = out.op("Reshape", [x.name, out.whole([0, groups, -1], "groups")])
    ones, zeros = (
        out.constant(np.ones(groups, np.float32), "ones"),
        out.constant(np.zeros(groups, np.float32), "zeros"),
    )
    normal = out.op("InstanceNormalization", [rows, ones, zeros], epsilon=float(node.config["epsilon"]))
    image = out.op("Reshape", [normal, out.whole([-1, channels, height, width], "image")])
    scaled = out.op("Mul", [image, out.channel_constant(gamma, x, "gamma")])
    return Tensor(out.op("Add", [scaled, out.channel_constant(beta, x, "beta")]), x.shape)


def group_count(node: Node, channels: int) -> int:
    """How many groups; -1 means one per channel."""
    groups = int(node.config.get("groups", 32))
    groups = channels if groups == -1 else groups
    if channels % groups:
        raise node.refuse(f"{channels} channels in {groups} groups")
    return groups


def unit_normalization(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """Vectors of length one along an axis."""
    x = inputs[0]
    axes = [out.axis(x, axis) for axis in unit_axes(node)]
    length = out.op("ReduceL2", [x.name], axes=axes, keepdims=1)
    floor = out.op("Max", [length, out.number(UNIT_EPSILON, "epsilon")])
    return Tensor(out.op("Div", [x.name, floor]), x.shape)


def unit_axes(node: Node) -> list[int]:
    axis = node.config.get("axis", -1)
    return [int(a) for a in axis] if isinstance(axis, list | tuple) else [int(axis)]
