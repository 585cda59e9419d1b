"""Activation functions, and the layers that are nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from skerry.model.layers.options import activation, weights
from skerry.model.network import Node
from skerry.model.onnx_writer import OnnxWriter, Tensor


def _unary(kind: str, **attributes: Any) -> Callable[[OnnxWriter, Tensor], str]:
    return lambda out, x: out.op(kind, [x.name], **attributes)


def _clip(out: OnnxWriter, x: Tensor, low: float, high: float) -> str:
    return out.op("Clip", [x.name, out.number(low, "low"), out.number(high, "high")])


def _silu(out: OnnxWriter, x: Tensor) -> str:
    return out.op("Mul", [x.name, out.op("Sigmoid", [x.name])])


def _mish(out: OnnxWriter, x: Tensor) -> str:
    return out.op("Mul", [x.name, out.op("Tanh", [out.op("Softplus", [x.name])])])


def _gelu(out: OnnxWriter, x: Tensor) -> str:
    scaled = out.op("Mul", [x.name, out.number(math.sqrt(0.5), "sqrt_half")])
    raised = out.op("Add", [out.op("Erf", [scaled]), out.number(1, "one")])
    return out.op("Mul", [out.op("Mul", [x.name, out.number(0.5, "half")]), raised])


def _gelu_tanh(out: OnnxWriter, x: Tensor) -> str:
    square = out.op("Mul", [x.name, x.name])
    inner = out.op("Add", [out.op("Mul", [square, out.number(0.044715, "cubic")]), out.number(1, "one")])
    scaled = out.op("Mul", [out.op("Mul", [x.name, inner]), out.number(math.sqrt(2 / math.pi), "scale")])
    raised = out.op("Add", [out.op("Tanh", [scaled]), out.number(1, "one")])
    return out.op("Mul", [out.op("Mul", [x.name, out.number(0.5, "half")]), raised])


def _celu(out: OnnxWriter, x: Tensor) -> str:
    # ONNX' Celu with alpha 1 is Elu.
    return out.op("Elu", [x.name], alpha=1.0)


def _log_sigmoid(out: OnnxWriter, x: Tensor) -> str:
    return out.op("Neg", [out.op("Softplus", [out.op("Neg", [x.name])])])


def _squareplus(out: OnnxWriter, x: Tensor) -> str:
    square = out.op("Add", [out.op("Mul", [x.name, x.name]), out.number(4, "four")])
    return out.op("Mul", [out.op("Add", [x.name, out.op("Sqrt", [square])]), out.number(0.5, "half")])


def _log_softmax(out: OnnxWriter, x: Tensor) -> str:
    return out.op("LogSoftmax", [x.name], axis=out.axis(x, -1))


def _softmax(out: OnnxWriter, x: Tensor) -> str:
    return out.op("Softmax", [x.name], axis=out.axis(x, -1))


FUNCTIONS: dict[str, Callable[[OnnxWriter, Tensor], str]] = {
    "linear": lambda out, x: x.name,
    "relu": _unary("Relu"),
    "relu6": lambda out, x: _clip(out, x, 0, 6),
    "leaky_relu": _unary("LeakyRelu", alpha=0.2),
    "elu": _unary("Elu", alpha=1.0),
    "selu": _unary("Selu"),
    "softmax": _softmax,
    "sigmoid": _unary("Sigmoid"),
    "hard_sigmoid": _unary("HardSigmoid", alpha=1 / 6, beta=0.5),
    "tanh": _unary("Tanh"),
    "softplus": _unary("Softplus"),
    "softsign": _unary("Softsign"),
    "exponential": _unary("Exp"),
    "silu": _silu,
    "swish": _silu,
    "hard_silu": _unary("HardSwish"),
    "hard_swish": _unary("HardSwish"),
    "mish": _mish,
    "gelu": _gelu,
    "celu": _celu,
    "hard_tanh": lambda out, x: _clip(out, x, -1, 1),
    "log_sigmoid": _log_sigmoid,
    "log_softmax": _log_softmax,
    "squareplus": _squareplus,
    "keras2_hard_sigmoid": _unary("HardSigmoid", alpha=0.2, beta=0.5),
}


def apply_activation(out: OnnxWriter, node: Node, x: Tensor) -> Tensor:
    """``x`` after the layer's ``activation`` option."""
    name = activation(node)
    if name not in FUNCTIONS:
        raise node.refuse(f"activation {name!r}")
    return Tensor(FUNCTIONS[name](out, x), x.shape)


def activation_layer(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    return apply_activation(out, node, inputs[0])


def relu(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """Keras' ReLU: ``max_value`` caps, ``negative_slope`` leaks, below ``threshold`` is negative."""
    x = inputs[0]
    highest = node.config.get("max_value")
    slope = float(node.config.get("negative_slope") or 0.0)
    threshold = float(node.config.get("threshold") or 0.0)
    if threshold:
        level = out.number(threshold, "threshold")
        leak = out.op("Mul", [out.op("Sub", [x.name, level]), out.number(slope, "slope")])
        name = out.op("Where", [out.op("GreaterOrEqual", [x.name, level]), x.name, leak])
    elif slope:
        name = out.op("LeakyRelu", [x.name], alpha=slope)
    elif highest is not None:
        return Tensor(_clip(out, x, 0, float(highest)), x.shape)
    else:
        name = out.op("Relu", [x.name])
    if highest is not None:
        name = out.op("Min", [name, out.number(float(highest), "max_value")])
    return Tensor(name, x.shape)


def leaky_relu(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    slope = node.config.get("negative_slope", node.config.get("alpha", 0.3))
    return Tensor(out.op("LeakyRelu", [inputs[0].name], alpha=float(slope)), inputs[0].shape)


def elu(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    return Tensor(
        out.op("Elu", [inputs[0].name], alpha=float(node.config.get("alpha", 1.0))), inputs[0].shape
    )


def prelu(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    (slope,) = weights(node, 1)
    axes = (2, 0, 1) if inputs[0].is_image else tuple(range(slope.ndim))
    name = out.constant(np.transpose(slope, axes), "slope")
    return Tensor(out.op("PRelu", [inputs[0].name, name]), inputs[0].shape)


def softmax(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    axis = node.config.get("axis", -1)
    if not isinstance(axis, int):
        raise node.refuse(f"axis={axis!r}")
    return Tensor(out.op("Softmax", [inputs[0].name], axis=out.axis(inputs[0], axis)), inputs[0].shape)


def gelu_operation(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    rule = _gelu_tanh if node.config.get("approximate", True) else _gelu
    return Tensor(rule(out, inputs[0]), inputs[0].shape)
