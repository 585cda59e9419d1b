"""Layers that change how many pixels an image has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skerry.errors import Unsupported
from skerry.model.layers.options import Pair, only, pair
from skerry.model.network import Node
from skerry.model.onnx_writer import OnnxWriter, Tensor
from skerry.package.resampling import KERNELS, weights


def up_sampling(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    only(node, data_format="channels_last")
    rows, columns = pair(node, "size", 2)
    height, width, _ = inputs[0].shape
    return resized(out, node, inputs[0], (height * rows, width * columns))


def resizing(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """As ``tf.image.resize`` does; with ``crop_to_aspect_ratio`` of the middle of the image only."""
    only(node, data_format="channels_last")
    size = (int(node.config["height"]), int(node.config["width"]))
    x = inputs[0]
    if node.config.get("crop_to_aspect_ratio"):
        x = cropped(out, x, *aspect_crop((x.shape[0], x.shape[1]), size))
    if node.config.get("pad_to_aspect_ratio"):
        x = _padded(out, node, x, aspect_pad((x.shape[0], x.shape[1]), size))
    return x if x.shape[:2] == size else resized(out, node, x, size)


def centre_crop(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    only(node, data_format="channels_last")
    size = (int(node.config["height"]), int(node.config["width"]))
    height, width, _ = inputs[0].shape
    if height < size[0] or width < size[1]:
        raise node.refuse(f"cutting {size} from {(height, width)}")
    return cropped(out, inputs[0], ((height - size[0]) // 2, (width - size[1]) // 2), size)


def cropped(out: OnnxWriter, x: Tensor, start: Pair, size: Pair) -> Tensor:
    if x.shape[:2] == size:
        return x
    ends = [start[0] + size[0], start[1] + size[1]]
    given = [x.name, out.whole(start, "starts"), out.whole(ends, "ends"), out.whole([2, 3], "axes")]
    return Tensor(out.op("Slice", given), (*size, x.channels))


def aspect_crop(image: Pair, size: Pair) -> tuple[Pair, Pair]:
    """Where Keras cuts before it resizes, and how much: the largest middle part of the target's shape."""
    height = min(image[0], int(float(image[1] * size[0]) / size[1]))
    width = min(image[1], int(float(image[0] * size[1]) / size[0]))
    return (int(float(image[0] - height) / 2), int(float(image[1] - width) / 2)), (height, width)


def aspect_pad(image: Pair, size: Pair) -> Pair:
    """How much Keras pads at the top and at the left before it resizes, for the target's shape.

    It pads as much at the bottom and at the right: an odd pixel is lost.
    """
    height = max(image[0], int(float(image[1] * size[0]) / size[1]))
    width = max(image[1], int(float(image[0] * size[1]) / size[0]))
    return int(float(height - image[0]) / 2), int(float(width - image[1]) / 2)


def _padded(out: OnnxWriter, node: Node, x: Tensor, start: Pair) -> Tensor:
    if start == (0, 0):
        return x
    amounts = out.whole([0, 0, *start, 0, 0, *start], "amounts")
    value = out.number(float(node.config.get("fill_value", 0.0)), "ground")
    height, width = x.shape[0] + 2 * start[0], x.shape[1] + 2 * start[1]
    return Tensor(out.op("Pad", [x.name, amounts, value]), (height, width, x.channels))


def resized(out: OnnxWriter, node: Node, x: Tensor, size: Pair) -> Tensor:
    """The image in another size, to the last digit as TensorFlow does it."""
    method = str(node.config.get("interpolation", "bilinear"))
    antialias = bool(node.config.get("antialias"))
    if method != "nearest" and method not in KERNELS:
        raise Unsupported(
            f"layer {node.name!r} ({node.kind}) resizes {x.shape[:2]} to {size} by {method} inside the model",
            hint="save the model without it and resize in the recipe, e.g. --resize tensorflow:bilinear",
            layer=node.name,
            kind=node.kind,
        )
    if method != "nearest" and (method != "bilinear" or antialias):
        # Along each axis a matrix: no operator of ONNX rounds as TensorFlow's kernels do.
        rows = out.constant(weights(x.shape[0], size[0], method, antialias), "rows")
        columns = out.constant(weights(x.shape[1], size[1], method, antialias).T, "columns")
        name = out.op("MatMul", [out.op("MatMul", [rows, x.name]), columns])
        return Tensor(name, (*size, x.channels))
    if method == "nearest":
        name = x.name
        for axis, (old, new) in enumerate(zip(x.shape[:2], size, strict=True)):
            if old != new:
                name = out.op("Gather", [name, out.whole(nearest(old, new), "pixels")], axis=2 + axis)
        return Tensor(name, (*size, x.channels))
    scales = [1.0, 1.0, *(scale(old, new) for old, new in zip(x.shape[:2], size, strict=True))]
    name = out.op(
        "Resize",
        [x.name, "", out.constant(np.array(scales, np.float32), "scales")],
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
    return Tensor(name, (*size, x.channels))


def nearest(old: int, new: int) -> list[int]:
    """Which pixel each new one is taken from: TensorFlow's rule, in its float32."""
    places = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * (np.float32(old) / np.float32(new))
    return [min(old - 1, int(p)) for p in np.floor(places)]


def scale(old: int, new: int) -> float:
    """A factor whose product, cut to a whole number in float32, is the new size."""
    factor = np.float32(new) / np.float32(old)
    while int(np.floor(np.float32(old) * factor)) < new:
        factor = np.nextafter(factor, np.float32(np.inf), dtype=np.float32)
    return float(factor)
