"""Resizing and cropping in numpy, by TensorFlow's half-pixel rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skerry.model.keras_file import F32
from skerry.model.layers.options import Pair, pair
from skerry.model.layers.resampling import aspect_crop, aspect_pad, nearest
from skerry.model.network import Node
from skerry.package.resampling import resampled


def up_sampling(node: Node, inputs: Sequence[F32]) -> F32:
    rows, columns = pair(node, "size", 2)
    _, height, width, _ = inputs[0].shape
    return _resized(node, inputs[0], (height * rows, width * columns))


def resizing(node: Node, inputs: Sequence[F32]) -> F32:
    size = (int(node.config["height"]), int(node.config["width"]))
    x = inputs[0]
    if node.config.get("crop_to_aspect_ratio"):
        (top, left), (height, width) = aspect_crop((x.shape[1], x.shape[2]), size)
        x = x[:, top : top + height, left : left + width]
    if node.config.get("pad_to_aspect_ratio"):
        top, left = aspect_pad((x.shape[1], x.shape[2]), size)
        ground = float(node.config.get("fill_value", 0.0))
        x = np.pad(x, ((0, 0), (top, top), (left, left), (0, 0)), constant_values=ground)
    return _resized(node, x, size)


def centre_crop(node: Node, inputs: Sequence[F32]) -> F32:
    height, width = int(node.config["height"]), int(node.config["width"])
    top, left = (inputs[0].shape[1] - height) // 2, (inputs[0].shape[2] - width) // 2
    return inputs[0][:, top : top + height, left : left + width]


def _resized(node: Node, x: F32, size: Pair) -> F32:
    method, antialias = node.config.get("interpolation", "bilinear"), bool(node.config.get("antialias"))
    if method != "nearest" and (method != "bilinear" or antialias):
        return resampled(resampled(x, size[0], 1, method, antialias), size[1], 2, method, antialias)
    if method == "nearest":
        return x[:, nearest(x.shape[1], size[0])][:, :, nearest(x.shape[2], size[1])]
    return _bilinear(_bilinear(x, size[0], 1), size[1], 2)


def _bilinear(x: F32, new: int, axis: int) -> F32:
    old = x.shape[axis]
    places = (np.arange(new) + 0.5) * old / new - 0.5
    low = np.floor(places)
    share = (places - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
    first = np.take(x, np.clip(low, 0, old - 1).astype(np.int64), axis)
    second = np.take(x, np.clip(low + 1, 0, old - 1).astype(np.int64), axis)
    return np.asarray(first + (second - first) * share, np.float32)
