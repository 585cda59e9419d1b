"""Pooling over windows, or over the whole image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from skerry.model.layers.options import only, pair, window
from skerry.model.network import Node
from skerry.model.onnx_writer import OnnxWriter, Tensor


def _windowed(kind: str, **attributes: Any) -> Callable[[OnnxWriter, Node, Sequence[Tensor]], Tensor]:
    def emit(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
        only(node, data_format="channels_last")
        x = inputs[0]
        size = pair(node, "pool_size", 2)
        strides = pair(node, "strides") if node.config.get("strides") is not None else size
        shape, (top, bottom), (left, right) = window(node, x.shape[0], x.shape[1], size, strides)
        pads = [top, left, bottom, right]
        name = out.op(kind, [x.name], kernel_shape=size, strides=strides, pads=pads, **attributes)
        return Tensor(name, (*shape, x.channels))

    return emit


max_pooling = _windowed("MaxPool")
# TensorFlow divides by the number of real pixels under the window, not by its area.
average_pooling = _windowed("AveragePool", count_include_pad=0)


def _global(kind: str) -> Callable[[OnnxWriter, Node, Sequence[Tensor]], Tensor]:
    def emit(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
        only(node, data_format="channels_last")
        x = inputs[0]
        name = out.op(kind, [x.name])
        if node.config.get("keepdims"):
            return Tensor(name, (1, 1, x.channels))
        return Tensor(out.op("Flatten", [name], axis=1), (x.channels,))

    return emit


global_average_pooling = _global("GlobalAveragePool")
global_max_pooling = _global("GlobalMaxPool")
