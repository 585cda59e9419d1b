"""Layers that move values without changing them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from skerry.errors import InvalidInput, Unsupported
from skerry.model.graph import Node
from skerry.model.layers.options import only, pair, sides
from skerry.model.onnx_writer import OnnxWriter, Tensor


def flatten(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    only(node, data_format="channels_last")
    return _reshaped(out, inputs[0], (math.prod(inputs[0].shape),))


def reshape(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    target = [int(side) for side in node.config["target_shape"]]
    total = math.prod(inputs[0].shape)
    if -1 in target:
        target[target.index(-1)] = total // -math.prod(target)
    if math.prod(target) != total:
        raise InvalidInput(f"layer {node.name!r} reshapes {inputs[0].shape} to {target}", layer=node.name)
    return _reshaped(out, inputs[0], tuple(target))


def _reshaped(out: OnnxWriter, x: Tensor, shape: tuple[int, ...]) -> Tensor:
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


def up_sampling(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    only(node, data_format="channels_last", interpolation="nearest")
    rows, columns = pair(node, "size", 2)
    height, width, channels = inputs[0].shape
    shape = (height * rows, width * columns, channels)
    name = out.op(
        "Resize",
        [inputs[0].name, "", out.constant(np.array([1, 1, rows, columns], np.float32), "scales")],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    return Tensor(name, shape)


def concatenate(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    axis = int(node.config.get("axis", -1))
    place = axis % (len(inputs[0].shape) + 1) - 1
    if place < 0:
        raise node.refuse("joining along the batch")
    shape = list(inputs[0].shape)
    shape[place] = sum(x.shape[place] for x in inputs)
    name = out.op("Concat", [x.name for x in inputs], axis=out.axis(inputs[0], axis))
    return Tensor(name, tuple(shape))


def resizing(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """Resizing to the size the image has is dropped; anything else belongs into the recipe."""
    height, width = int(node.config["height"]), int(node.config["width"])
    if inputs[0].shape[:2] == (height, width):
        return inputs[0]
    raise Unsupported(
        f"layer {node.name!r} (Resizing) resizes {inputs[0].shape[:2]} to {(height, width)} inside the model",
        hint="save the model without it and resize in the recipe: --resize tensorflow:bilinear",
        layer=node.name,
        kind=node.kind,
    )
