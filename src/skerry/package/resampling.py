"""``tf.image.resize`` along one axis as a matrix: which pixels make a new one, and with what weight."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Kernel = Callable[[F32], F32]
ONE, HALF = np.float32(1), np.float32(0.5)
# TensorFlow's resize_bicubic_op.cc reads its weights from a table of so many steps.
TABLE = 1 << 10
# Below it a sum of weights counts as none (scale_and_translate_op.cc).
LEAST = 1000 * np.finfo(np.float32).tiny


def _triangle(x: F32) -> F32:
    return np.asarray(np.maximum(0, ONE - x), np.float32)


def _keys_cubic(x: F32) -> F32:
    """The cubic convolution with a = -0.5."""
    near = ((np.float32(1.5) * x - np.float32(2.5)) * x) * x + ONE
    far = ((np.float32(-0.5) * x + np.float32(2.5)) * x - np.float32(4)) * x + np.float32(2)
    return np.asarray(np.where(x >= 2, np.float32(0), np.where(x >= 1, far, near)), np.float32)


def _mitchell_cubic(x: F32) -> F32:
    near = (np.float32(7 / 6) * x - np.float32(2)) * x * x + np.float32(8 / 9)
    far = ((np.float32(-7 / 18) * x + np.float32(2)) * x - np.float32(10 / 3)) * x + np.float32(16 / 9)
    return np.asarray(np.where(x >= 2, np.float32(0), np.where(x >= 1, far, near)), np.float32)


def _lanczos(radius: int) -> Kernel:
    def kernel(x: F32) -> F32:
        turn = np.float32(math.pi) * x
        with np.errstate(divide="ignore", invalid="ignore"):
            value = radius * np.sin(turn) * np.sin(turn / np.float32(radius)) / (turn * turn)
        return np.asarray(np.where(x > radius, 0, np.where(x <= 1e-3, 1, value)), np.float32)

    return kernel


def _gaussian(x: F32) -> F32:
    """Radius 1.5, standard deviation a third of it."""
    width = np.float32(0.5)
    return np.asarray(np.where(x >= 1.5, 0, np.exp(-x * x / (2 * width * width))), np.float32)


KERNELS: dict[str, tuple[float, Kernel]] = {
    "bilinear": (1.0, _triangle),
    "bicubic": (2.0, _keys_cubic),
    "lanczos3": (3.0, _lanczos(3)),
    "lanczos5": (5.0, _lanczos(5)),
    "gaussian": (1.5, _gaussian),
    "mitchellcubic": (2.0, _mitchell_cubic),
}


@lru_cache(maxsize=64)
def weights(old: int, new: int, method: str, antialias: bool) -> F32:
    """float32 [new, old]: each row makes one new pixel. ``method`` is one of KERNELS."""
    if method == "bicubic" and not antialias:
        found = _bicubic_by_table(old, new)
    else:
        found = _spans(old, new, *KERNELS[method], antialias)
    found.setflags(write=False)
    return found


def resampled(pixels: F32, new: int, axis: int, method: str, antialias: bool) -> F32:
    """The array in another size along one axis."""
    matrix = weights(pixels.shape[axis], new, method, antialias)
    turned = np.moveaxis(pixels, axis, -1) @ matrix.T
    return np.ascontiguousarray(np.moveaxis(turned, -1, axis), np.float32)


def _spans(old: int, new: int, radius: float, kernel: Kernel, antialias: bool) -> F32:
    """scale_and_translate_op.cc: the kernel, widened where an antialiased image shrinks, cut at the edges."""
    inverse = ONE / (np.float32(new) / np.float32(old))
    width = max(inverse, ONE) if antialias else ONE
    reach = np.float32(radius) * width
    centres = (np.arange(new, dtype=np.float32) + HALF) * inverse
    first = np.clip(np.ceil(centres - reach - HALF), 0, old - 1)[:, None]
    last = np.clip(np.floor(centres + reach - HALF), 0, old - 1)[:, None]
    source = np.arange(old, dtype=np.float32)[None]
    found = kernel(np.abs((source + HALF - centres[:, None]) * (ONE / width)))
    found = np.where((source >= first) & (source <= last), found, np.float32(0))
    return _normalised(np.asarray(found, np.float32))


def _bicubic_by_table(old: int, new: int) -> F32:
    """resize_bicubic_op.cc with half-pixel centres: four pixels, weights to a 1024th, none from outside."""
    near, far = _table()
    places = (np.arange(new, dtype=np.float32) + HALF) * (np.float32(old) / np.float32(new)) - HALF
    low = np.floor(places)
    steps = np.rint((places - low) * np.float32(TABLE)).astype(np.intp)
    shares = (far[steps], near[steps], near[TABLE - steps], far[TABLE - steps])
    found = np.zeros((new, old), np.float32)
    rows = np.arange(new)
    for offset, share in zip((-1, 0, 1, 2), shares, strict=True):
        place = low.astype(np.intp) + offset
        inside = (place >= 0) & (place < old)
        found[rows[inside], place[inside]] += share[inside]
    return _normalised(found)


@lru_cache(maxsize=1)
def _table() -> tuple[F32, F32]:
    """The weights of the pixel at a distance of i / TABLE, and of the one a pixel further."""
    steps = np.arange(TABLE + 1, dtype=np.float32) / np.float32(TABLE)
    return _keys_cubic(steps), _keys_cubic(steps + ONE)


def _normalised(found: F32) -> F32:
    total = found.sum(axis=1, dtype=np.float32, keepdims=True)
    whole = np.where(np.abs(total) >= LEAST, total, ONE)
    return np.asarray(found / whole, np.float32)
