"""Keras' operations in numpy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from skerry.model.keras_file import F32
from skerry.model.layers.operations import item_picks, new_shape, reduced_axes
from skerry.model.network import Node

Rule = Callable[[Node, Sequence[F32]], F32]


def _binary(rule: Callable[[F32, F32], F32]) -> Rule:
    def run(node: Node, inputs: Sequence[F32]) -> F32:
        arrays = iter(inputs)
        first, second = (
            next(arrays) if isinstance(o, str) else np.asarray(o, np.float32) for o in node.operands
        )
        return rule(first, second)

    return run


def _unary(rule: Callable[[F32], Any]) -> Rule:
    return lambda node, inputs: np.asarray(rule(inputs[0]), np.float32)


def _reduction(rule: Callable[..., F32]) -> Rule:
    def run(node: Node, inputs: Sequence[F32]) -> F32:
        axes = tuple(reduced_axes(node, inputs[0].ndim))
        return np.asarray(rule(inputs[0], axis=axes, keepdims=bool(node.config.get("keepdims"))), np.float32)

    return run


def _get_item(node: Node, inputs: Sequence[F32]) -> F32:
    picks = item_picks(node, inputs[0].ndim)
    return inputs[0][tuple(picks.get(axis, slice(None)) for axis in range(inputs[0].ndim))]


def _reshape(node: Node, inputs: Sequence[F32]) -> F32:
    return inputs[0].reshape(len(inputs[0]), *new_shape(node, inputs[0].shape[1:]))


def _sigmoid(x: F32) -> F32:
    return np.asarray(0.5 * (np.tanh(0.5 * x) + 1), np.float32)


def _hard_sigmoid(x: F32) -> F32:
    return np.asarray(np.clip(x / np.float32(6) + np.float32(0.5), 0, 1), np.float32)


def erf(x: F32) -> F32:
    """The error function, by Python's own in float64."""
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x.astype(np.float64)), np.float32)


OPERATIONS: Mapping[str, Rule] = {
    "ops.Add": _binary(np.add),
    "ops.Subtract": _binary(np.subtract),
    "ops.Multiply": _binary(np.multiply),
    "ops.Divide": _binary(np.divide),
    "ops.TrueDivide": _binary(np.divide),
    "ops.SquaredDifference": _binary(lambda a, b: np.square(a - b)),
    "ops.Maximum": _binary(np.maximum),
    "ops.Minimum": _binary(np.minimum),
    "ops.Power": _binary(np.power),
    "ops.Mean": _reduction(np.mean),
    "ops.Max": _reduction(np.max),
    "ops.Min": _reduction(np.min),
    "ops.Sum": _reduction(np.sum),
    "ops.Sqrt": _unary(np.sqrt),
    "ops.Rsqrt": _unary(lambda x: np.float32(1) / np.sqrt(x)),
    "ops.Square": _unary(np.square),
    "ops.Exp": _unary(np.exp),
    "ops.Log": _unary(np.log),
    "ops.Absolute": _unary(np.abs),
    "ops.Negative": _unary(np.negative),
    "ops.Erf": _unary(erf),
    "ops.Erfc": _unary(lambda x: np.float32(1) - erf(x)),
    "ops.Relu": _unary(lambda x: np.maximum(x, 0)),
    "ops.Relu6": _unary(lambda x: np.clip(x, 0, 6)),
    "ops.Sigmoid": _unary(_sigmoid),
    "ops.Tanh": _unary(np.tanh),
    "ops.Silu": _unary(lambda x: x * _sigmoid(x)),
    "ops.HardSigmoid": _unary(_hard_sigmoid),
    "ops.HardSilu": _unary(lambda x: x * _hard_sigmoid(x)),
    "ops.Clip": lambda node, xs: np.clip(
        xs[0], np.float32(node.config["x_min"]), np.float32(node.config["x_max"])
    ),
    "ops.Reshape": _reshape,
    "ops.Transpose": lambda node, xs: xs[0].transpose(node.config["axes"]),
    "ops.Stack": lambda node, xs: np.stack(xs, int(node.config.get("axis", 0))),
    "ops.Concatenate": lambda node, xs: np.concatenate(xs, int(node.config.get("axis", -1))),
    "ops.GetItem": _get_item,
}
