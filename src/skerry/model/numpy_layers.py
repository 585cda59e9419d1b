"""Keras' layers in numpy, written from their definition and not from the ONNX table: the second opinion.

Arrays are float32 in Keras' layout, [n, height, width, channels] or [n, features].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce

import numpy as np

from skerry.model.keras_file import F32
from skerry.model.layers.arithmetic import NORMALIZATION_EPSILON, dot_axes, statistics
from skerry.model.layers.convolution import transposed_sides
from skerry.model.layers.normalising import (
    UNIT_EPSILON,
    batch_statistics,
    group_count,
    layer_statistics,
    unit_axes,
)
from skerry.model.layers.options import Pair, activation, pair, sides, weights, window
from skerry.model.network import Node
from skerry.model.numpy_operations import OPERATIONS, Rule, erf
from skerry.model.numpy_resampling import centre_crop, resizing, up_sampling


def _softmax(x: F32, axis: int = -1) -> F32:
    raised = np.exp(x - x.max(axis, keepdims=True))
    return np.asarray(raised / raised.sum(axis, keepdims=True), np.float32)


def _sigmoid(x: F32) -> F32:
    return np.asarray(0.5 * (np.tanh(0.5 * x) + 1), np.float32)


def _softplus(x: F32) -> F32:
    return np.asarray(np.logaddexp(x, np.float32(0)), np.float32)


def _hard_sigmoid(x: F32) -> F32:
    return np.asarray(np.clip(x / np.float32(6) + np.float32(0.5), 0, 1), np.float32)


def _elu(x: F32, alpha: float = 1.0) -> F32:
    return np.asarray(np.where(x > 0, x, np.float32(alpha) * np.expm1(np.minimum(x, 0))), np.float32)


def _selu(x: F32) -> F32:
    return np.float32(1.0507009873554805) * _elu(x, 1.6732632423543772)


def _gelu(x: F32) -> F32:
    return np.float32(0.5) * x * (1 + erf(x * np.float32(math.sqrt(0.5))))


def _gelu_tanh(x: F32) -> F32:
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
    return np.asarray(np.float32(0.5) * x * (1 + np.tanh(inner)), np.float32)


FUNCTIONS: Mapping[str, Callable[[F32], F32]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, np.float32(0.2) * x),
    "elu": _elu,
    "selu": _selu,
    "softmax": _softmax,
    "sigmoid": _sigmoid,
    "hard_sigmoid": _hard_sigmoid,
    "tanh": np.tanh,
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "exponential": np.exp,
    "silu": lambda x: x * _sigmoid(x),
    "swish": lambda x: x * _sigmoid(x),
    "hard_silu": lambda x: x * _hard_sigmoid(x),
    "hard_swish": lambda x: x * _hard_sigmoid(x),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "gelu": _gelu,
    "celu": _elu,
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "log_sigmoid": lambda x: -_softplus(-x),
    "log_softmax": lambda x: np.log(_softmax(x)),
    "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / np.float32(2),
    "keras2_hard_sigmoid": lambda x: np.clip(x * np.float32(0.2) + np.float32(0.5), 0, 1),
}


def _activated(node: Node, x: F32) -> F32:
    name = activation(node)
    if name not in FUNCTIONS:
        raise node.refuse(f"activation {name!r}")
    return FUNCTIONS[name](x)


def _padded(x: F32, vertical: Pair, horizontal: Pair, value: float) -> F32:
    if vertical == horizontal == (0, 0):
        return x
    return np.pad(x, ((0, 0), vertical, horizontal, (0, 0)), constant_values=value)


def _views(
    node: Node, x: F32, kernel: Pair, strides: Pair, dilation: Pair = (1, 1), value: float = 0.0
) -> list[F32]:
    """For each place under the window (row by row) the input it sees, [n, rows, columns, channels]."""
    (rows, columns), vertical, horizontal = window(node, x.shape[1], x.shape[2], kernel, strides, dilation)
    padded = _padded(x, vertical, horizontal, value)
    return [
        padded[
            :,
            i * dilation[0] : i * dilation[0] + (rows - 1) * strides[0] + 1 : strides[0],
            j * dilation[1] : j * dilation[1] + (columns - 1) * strides[1] + 1 : strides[1],
        ]
        for i in range(kernel[0])
        for j in range(kernel[1])
    ]


def _biased(node: Node, x: F32) -> F32:
    return x + node.weights[-1] if node.config.get("use_bias", True) else x


def _conv2d(node: Node, inputs: Sequence[F32]) -> F32:
    kernel = node.weights[0]
    height, width, depth, filters = kernel.shape
    views = _views(node, inputs[0], (height, width), pair(node, "strides"), pair(node, "dilation_rate"))
    groups = int(node.config.get("groups", 1))
    share = filters // groups
    parts = []
    for g in range(groups):
        stacked = np.concatenate([view[..., g * depth : (g + 1) * depth] for view in views], -1)
        flat = kernel[..., g * share : (g + 1) * share].reshape(-1, share)
        parts.append((stacked.reshape(-1, flat.shape[0]) @ flat).reshape(*stacked.shape[:3], share))
    return _activated(node, _biased(node, np.concatenate(parts, -1)))


def _depthwise(node: Node, x: F32, kernel: F32) -> F32:
    height, width, channels, multiplier = kernel.shape
    views = _views(node, x, (height, width), pair(node, "strides"), pair(node, "dilation_rate"))
    flat = kernel.reshape(-1, channels, multiplier)
    total = np.zeros((*views[0].shape, multiplier), np.float32)
    for view, factor in zip(views, flat, strict=True):
        total += view[..., None] * factor
    return total.reshape(*total.shape[:3], channels * multiplier)


def _depthwise_conv2d(node: Node, inputs: Sequence[F32]) -> F32:
    return _activated(node, _biased(node, _depthwise(node, inputs[0], node.weights[0])))


def _separable_conv2d(node: Node, inputs: Sequence[F32]) -> F32:
    deep = _depthwise(node, inputs[0], node.weights[0])
    return _activated(node, _biased(node, deep @ node.weights[1][0, 0]))


def _dense(node: Node, inputs: Sequence[F32]) -> F32:
    return _activated(node, _biased(node, inputs[0] @ node.weights[0]))


def _batch_normalization(node: Node, inputs: Sequence[F32]) -> F32:
    gamma, beta, mean, variance = batch_statistics(node)
    deviation = np.sqrt(variance + np.float32(node.config["epsilon"]))
    return np.asarray((inputs[0] - mean) / deviation * gamma + beta, np.float32)


def _layer_normalization(node: Node, inputs: Sequence[F32]) -> F32:
    x = inputs[0]
    gamma, beta = layer_statistics(node, x.shape[-1])
    variance = x.var(-1, keepdims=True) + np.float32(node.config["epsilon"])
    normal = (x - x.mean(-1, keepdims=True)) / np.sqrt(variance)
    return np.asarray(normal * gamma + beta, np.float32)


def _normalization(node: Node, inputs: Sequence[F32]) -> F32:
    mean, variance = (np.asarray(a, np.float32) for a in statistics(node))
    flat = [a.reshape(-1) if a.size > 1 else a.reshape(()) for a in (mean, variance)]
    deviation = np.maximum(np.sqrt(flat[1]), np.float32(NORMALIZATION_EPSILON))
    if node.config.get("invert"):
        return np.asarray(flat[0] + inputs[0] * deviation, np.float32)
    return np.asarray((inputs[0] - flat[0]) / deviation, np.float32)


def _rescaling(node: Node, inputs: Sequence[F32]) -> F32:
    scale = np.asarray(node.config["scale"], np.float32)
    offset = np.asarray(node.config.get("offset", 0.0), np.float32)
    return np.asarray(inputs[0] * scale + offset, np.float32)


def _max_pooling(node: Node, inputs: Sequence[F32]) -> F32:
    return reduce(np.maximum, _pool_views(node, inputs[0], -np.inf))


def _average_pooling(node: Node, inputs: Sequence[F32]) -> F32:
    real = _pool_views(node, np.ones_like(inputs[0][:1, ..., :1]), 0.0)
    return np.asarray(sum(_pool_views(node, inputs[0], 0.0)) / sum(real), np.float32)


def _pool_views(node: Node, x: F32, value: float) -> list[F32]:
    size = pair(node, "pool_size", 2)
    strides = pair(node, "strides") if node.config.get("strides") is not None else size
    return _views(node, x, size, strides, value=value)


def _zero_padding(node: Node, inputs: Sequence[F32]) -> F32:
    return _padded(inputs[0], *sides(node, "padding"), 0.0)


def _cropping(node: Node, inputs: Sequence[F32]) -> F32:
    (top, bottom), (left, right) = sides(node, "cropping")
    return inputs[0][:, top : inputs[0].shape[1] - bottom, left : inputs[0].shape[2] - right]


def _relu(node: Node, inputs: Sequence[F32]) -> F32:
    x = inputs[0]
    highest = node.config.get("max_value")
    slope = np.float32(node.config.get("negative_slope") or 0.0)
    threshold = np.float32(node.config.get("threshold") or 0.0)
    y = np.where(x >= threshold, x, slope * (x - threshold))
    return y if highest is None else np.minimum(y, np.float32(highest))


def _leaky_relu(node: Node, inputs: Sequence[F32]) -> F32:
    slope = np.float32(node.config.get("negative_slope", node.config.get("alpha", 0.3)))
    return np.where(inputs[0] > 0, inputs[0], slope * inputs[0])


def _prelu(node: Node, inputs: Sequence[F32]) -> F32:
    (slope,) = weights(node, 1)
    return np.where(inputs[0] > 0, inputs[0], slope * inputs[0])


def _conv2d_transpose(node: Node, inputs: Sequence[F32]) -> F32:
    x, kernel, strides = inputs[0], node.weights[0], pair(node, "strides")
    count, rows, columns, _ = x.shape
    height, width, filters, _ = kernel.shape
    places = transposed_sides(node, (rows, columns), (height, width))
    # All that the kernel reaches, and at least what is asked for.
    tall = max((rows - 1) * strides[0] + height, places[0].before + places[0].size)
    wide = max((columns - 1) * strides[1] + width, places[1].before + places[1].size)
    total = np.zeros((count, tall, wide, filters), np.float32)
    for i in range(height):
        for j in range(width):
            reached = total[:, i :: strides[0], j :: strides[1]][:, :rows, :columns]
            reached += x @ kernel[i, j].T
    top, left = places[0].before, places[1].before
    return _activated(node, _biased(node, total[:, top : top + places[0].size, left : left + places[1].size]))


def _group_normalization(node: Node, inputs: Sequence[F32]) -> F32:
    x = inputs[0]
    gamma, beta = layer_statistics(node, x.shape[-1])
    grouped = x.reshape(*x.shape[:3], group_count(node, x.shape[-1]), -1)
    axes = (1, 2, 4)
    deviation = np.sqrt(grouped.var(axes, keepdims=True) + np.float32(node.config["epsilon"]))
    normal = ((grouped - grouped.mean(axes, keepdims=True)) / deviation).reshape(x.shape)
    return np.asarray(normal * gamma + beta, np.float32)


def _unit_normalization(node: Node, inputs: Sequence[F32]) -> F32:
    x = inputs[0]
    length = np.sqrt(np.square(x).sum(tuple(unit_axes(node)), keepdims=True))
    return np.asarray(x / np.maximum(length, np.float32(UNIT_EPSILON)), np.float32)


def _dot(node: Node, inputs: Sequence[F32]) -> F32:
    first, second = dot_axes(node, inputs[0].ndim - 1, inputs[1].ndim - 1)
    left, right = np.moveaxis(inputs[0], first, -1), np.moveaxis(inputs[1], second, -1)
    if node.config.get("normalize"):
        left, right = (x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-7) for x in (left, right))
    made = np.stack([np.tensordot(a, b, (-1, -1)) for a, b in zip(left, right, strict=True)])
    return np.asarray(made.reshape(len(made), -1) if made.ndim == 1 else made, np.float32)


RULES: Mapping[str, Rule] = {
    "Conv2D": _conv2d,
    "DepthwiseConv2D": _depthwise_conv2d,
    "SeparableConv2D": _separable_conv2d,
    "Conv2DTranspose": _conv2d_transpose,
    "Dense": _dense,
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "GroupNormalization": _group_normalization,
    "UnitNormalization": _unit_normalization,
    "Dot": _dot,
    "CustomScaleLayer": lambda node, xs: xs[0] + xs[1] * np.float32(node.config["scale"]),
    "LayerScale": lambda node, xs: xs[0] * weights(node, 1)[0],
    "Normalization": _normalization,
    "Rescaling": _rescaling,
    "Add": lambda node, xs: reduce(np.add, xs),
    "Subtract": lambda node, xs: reduce(np.subtract, xs),
    "Multiply": lambda node, xs: reduce(np.multiply, xs),
    "Maximum": lambda node, xs: reduce(np.maximum, xs),
    "Minimum": lambda node, xs: reduce(np.minimum, xs),
    "Average": lambda node, xs: reduce(np.add, xs) / np.float32(len(xs)),
    "Concatenate": lambda node, xs: np.concatenate(xs, int(node.config.get("axis", -1))),
    "Flatten": lambda node, xs: xs[0].reshape(len(xs[0]), -1),
    "Reshape": lambda node, xs: xs[0].reshape(len(xs[0]), *node.config["target_shape"]),
    "ZeroPadding2D": _zero_padding,
    "Cropping2D": _cropping,
    "UpSampling2D": up_sampling,
    "Resizing": resizing,
    "CenterCrop": centre_crop,
    "Permute": lambda node, xs: xs[0].transpose(0, *node.config["dims"]),
    "RepeatVector": lambda node, xs: xs[0][:, None].repeat(node.config["n"], 1),
    "MaxPooling2D": _max_pooling,
    "AveragePooling2D": _average_pooling,
    "GlobalAveragePooling2D": lambda node, xs: xs[0].mean((1, 2), keepdims=bool(node.config.get("keepdims"))),
    "GlobalMaxPooling2D": lambda node, xs: xs[0].max((1, 2), keepdims=bool(node.config.get("keepdims"))),
    "Activation": lambda node, xs: _activated(node, xs[0]),
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "ELU": lambda node, xs: _elu(xs[0], float(node.config.get("alpha", 1.0))),
    "PReLU": _prelu,
    "Softmax": lambda node, xs: _softmax(xs[0], int(node.config.get("axis", -1))),
    **OPERATIONS,
    "ops.Softmax": lambda node, xs: _softmax(xs[0], int(node.config.get("axis", -1))),
    "ops.Gelu": lambda node, xs: (_gelu_tanh if node.config.get("approximate", True) else _gelu)(xs[0]),
}
