"""Layers that move values without changing them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from skerry.errors import InvalidInput
from skerry.model.layers.options import only, sides
from skerry.model.network import Node
from skerry.model.onnx_writer import OnnxWriter, Tensor


def flatten(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    only(node, data_format="channels_last")
    return reshaped(out, inputs[0], (math.prod(inputs[0].shape),))


def reshape(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    target = [int(side) for side in node.config["target_shape"]]
    total = math.prod(inputs[0].shape)
    if -1 in target:
        target[target.index(-1)] = total // -math.prod(target)
    if math.prod(target) != total:
        raise InvalidInput(f"layer {node.name!r} reshapes {inputs[0].shape} to {target}", layer=node.name)
    return reshaped(out, inputs[0], tuple(target))


def reshaped(out: OnnxWriter, x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The same numbers, in Keras' order, in another shape."""
    # With one pixel, NCHW and NHWC are the same numbers in the same order.
    name = x.name if x.is_image and x.shape[:2] == (1, 1) else out.to_keras(x)
    if len(shape) == 3 and shape[:2] == (1, 1):
        return Tensor(out.op("Reshape", [name, out.whole([-1, shape[2], 1, 1], "shape")]), shape)
    return out.from_keras(out.op("Reshape", [name, out.whole([-1, *shape], "shape")]), shape)


def zero_padding(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    only(node, data_format="channels_last")
    (top, bottom), (left, right) = sides(node, "padding")
    height, width, channels = inputs[0].shape
    pads = out.whole([0, 0, top, left, 0, 0, bottom, right], "pads")
    name = out.op("Pad", [inputs[0].name, pads])
    return Tensor(name, (height + top + bottom, width + left + right, channels))


def cropping(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    only(node, data_format="channels_last")
    (top, bottom), (left, right) = sides(node, "cropping")
    height, width, channels = inputs[0].shape
    starts, ends = out.whole([top, left], "starts"), out.whole([height - bottom, width - right], "ends")
    name = out.op("Slice", [inputs[0].name, starts, ends, out.whole([2, 3], "axes")])
    return Tensor(name, (height - top - bottom, width - left - right, channels))


def concatenate(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    axis = int(node.config.get("axis", -1))
    place = axis % (len(inputs[0].shape) + 1) - 1
    if place < 0:
        raise node.refuse("joining along the batch")
    shape = list(inputs[0].shape)
    shape[place] = sum(x.shape[place] for x in inputs)
    name = out.op("Concat", [x.name for x in inputs], axis=out.axis(inputs[0], axis))
    return Tensor(name, tuple(shape))


def permute(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    return transposed(out, inputs[0], [int(d) for d in node.config["dims"]])


def transposed(out: OnnxWriter, x: Tensor, dims: Sequence[int]) -> Tensor:
    """Axes in a new order, counted from 1 as without the batch."""
    name = out.op("Transpose", [out.to_keras(x)], perm=[0, *dims])
    return out.from_keras(name, tuple(x.shape[d - 1] for d in dims))


def repeat_vector(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    count = int(node.config["n"])
    row = out.op("Unsqueeze", [inputs[0].name, out.whole([1], "axis")])
    return Tensor(out.op("Tile", [row, out.whole([1, count, 1], "times")]), (count, *inputs[0].shape))
