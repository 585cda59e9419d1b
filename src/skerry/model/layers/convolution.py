"""Convolutions and dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skerry.model.keras_file import F32
from skerry.model.layers.activations import apply_activation
from skerry.model.layers.options import Pair, only, pair, weights, window
from skerry.model.network import Node
from skerry.model.onnx_writer import OnnxWriter, Tensor


def conv2d(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    only(node, data_format="channels_last")
    bias = bool(node.config.get("use_bias", True))
    arrays = weights(node, 2 if bias else 1)
    dilation, groups = pair(node, "dilation_rate"), int(node.config.get("groups", 1))
    kernel = np.transpose(arrays[0], (3, 2, 0, 1))  # HWIO to OIHW
    x = _convolve(out, node, inputs[0], kernel, arrays[1] if bias else None, groups, dilation)
    return apply_activation(out, node, x)


def depthwise_conv2d(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    only(node, data_format="channels_last")
    bias = bool(node.config.get("use_bias", True))
    arrays = weights(node, 2 if bias else 1)
    x = _depthwise(out, node, inputs[0], arrays[0], arrays[1] if bias else None)
    return apply_activation(out, node, x)


def separable_conv2d(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    only(node, data_format="channels_last")
    bias = bool(node.config.get("use_bias", True))
    arrays = weights(node, 3 if bias else 2)
    x = _depthwise(out, node, inputs[0], arrays[0], None)
    kernel = out.constant(np.transpose(arrays[1], (3, 2, 0, 1)), "pointwise")
    given = [x.name, kernel] + ([out.constant(arrays[2], "bias")] if bias else [])
    x = Tensor(out.op("Conv", given, kernel_shape=[1, 1]), (*x.shape[:2], arrays[1].shape[3]))
    return apply_activation(out, node, x)


def conv2d_transpose(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    only(node, data_format="channels_last", output_padding=None, groups=1)
    if pair(node, "dilation_rate") != (1, 1):
        raise node.refuse(f"dilation_rate={node.config['dilation_rate']!r}")
    bias = bool(node.config.get("use_bias", True))
    arrays = weights(node, 2 if bias else 1)
    kernel, x = arrays[0], inputs[0]
    places = transposed_sides(node, x.shape[:2], (kernel.shape[0], kernel.shape[1]))
    given = [x.name, out.constant(np.transpose(kernel, (3, 2, 0, 1)), "kernel")]
    given += [out.constant(arrays[1], "bias")] if bias else []
    name = out.op(
        "ConvTranspose",
        given,
        kernel_shape=kernel.shape[:2],
        strides=pair(node, "strides"),
        pads=[places[0].before, places[1].before, places[0].after, places[1].after],
        output_padding=[places[0].added, places[1].added],
    )
    shape = (places[0].size, places[1].size, int(kernel.shape[2]))
    return apply_activation(out, node, Tensor(name, shape))


@dataclass(frozen=True, slots=True)
class Side:
    """One axis of a transposed convolution: its size, what is cut before and after, what is added."""

    size: int
    before: int
    after: int
    added: int


def transposed_sides(node: Node, image: Sequence[int], kernel: Pair) -> tuple[Side, Side]:
    """Keras' sizes: ``same`` is the input times the stride, ``valid`` all that the kernel reaches."""
    mode = node.config.get("padding", "valid")
    if mode not in ("same", "valid"):
        raise node.refuse(f"padding={mode!r}")
    first, second = (
        _transposed_side(size, reach, stride, mode)
        for size, reach, stride in zip(image, kernel, pair(node, "strides"), strict=True)
    )
    return first, second


def _transposed_side(size: int, reach: int, stride: int, mode: str) -> Side:
    whole = (size - 1) * stride + reach
    spare = max(reach - stride, 0)
    target = size * stride + (spare if mode == "valid" else 0)
    before = spare // 2 if mode == "same" else 0
    return Side(target, before, max(whole - before - target, 0), max(target - whole, 0))


def dense(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    bias = bool(node.config.get("use_bias", True))
    arrays = weights(node, 2 if bias else 1)
    only(node, lora_rank=None)
    x = inputs[0]
    shape = (*x.shape[:-1], arrays[0].shape[1])
    kernel = out.constant(arrays[0], "kernel")
    added = [out.constant(arrays[1], "bias")] if bias else []
    if len(x.shape) == 1:
        return apply_activation(out, node, Tensor(out.op("Gemm", [x.name, kernel, *added]), shape))
    name = out.op("MatMul", [out.to_keras(x), kernel])
    if added:
        name = out.op("Add", [name, *added])
    return apply_activation(out, node, out.from_keras(name, shape))


def _depthwise(out: OnnxWriter, node: Node, x: Tensor, kernel: F32, bias: F32 | None) -> Tensor:
    height, width, channels, multiplier = kernel.shape
    # TensorFlow orders the outputs by input channel first: c0m0, c0m1, c1m0 …
    filters = np.transpose(kernel, (2, 3, 0, 1)).reshape(channels * multiplier, 1, height, width)
    return _convolve(out, node, x, filters, bias, channels, pair(node, "dilation_rate"))


def _convolve(
    out: OnnxWriter, node: Node, x: Tensor, kernel: F32, bias: F32 | None, groups: int, dilation: Pair
) -> Tensor:
    if not x.is_image or x.channels != kernel.shape[1] * groups:
        raise node.refuse(f"an input of shape {x.shape}")
    strides = pair(node, "strides")
    size = (int(kernel.shape[2]), int(kernel.shape[3]))
    shape, (top, bottom), (left, right) = window(node, x.shape[0], x.shape[1], size, strides, dilation)
    given = [x.name, out.constant(kernel, "kernel")] + ([] if bias is None else [out.constant(bias, "bias")])
    name = out.op(
        "Conv",
        given,
        kernel_shape=size,
        strides=strides,
        dilations=dilation,
        group=groups,
        pads=[top, left, bottom, right],
    )
    return Tensor(name, (*shape, int(kernel.shape[0])))
