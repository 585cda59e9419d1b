"""Reading a layer's options, where an option without a rule is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from skerry.errors import Damaged
from skerry.model.keras_file import F32, Json
from skerry.model.network import Node

Pair = tuple[int, int]


def only(node: Node, **expected: Json) -> None:
    """Unsupported unless every option is absent or has the one value there is a rule for."""
    for option, value in expected.items():
        if node.config.get(option, value) not in (value, None):
            raise node.refuse(f"{option}={node.config[option]!r}")


def weights(node: Node, count: int) -> tuple[F32, ...]:
    """The layer's arrays; Damaged when the file has another number of them."""
    if len(node.weights) != count:
        raise Damaged(
            f"layer {node.name!r} ({node.kind}) needs {count} arrays, the file has {len(node.weights)}",
            layer=node.name,
        )
    return node.weights


def pair(node: Node, option: str, default: int = 1) -> Pair:
    """An option such as ``strides``: one number or two."""
    value = node.config.get(option)
    if value is None:
        value = default
    if isinstance(value, int):
        return value, value
    if len(value) != 2:
        raise node.refuse(f"{option}={value!r}")
    return int(value[0]), int(value[1])


def sides(node: Node, option: str) -> tuple[Pair, Pair]:
    """An option such as ``padding`` of ZeroPadding2D: ((top, bottom), (left, right))."""
    value = node.config[option]
    if isinstance(value, int):
        return (value, value), (value, value)
    first, second = value
    if isinstance(first, int):
        return (first, first), (second, second)
    return cast(tuple[Pair, Pair], (tuple(first), tuple(second)))


def activation(node: Node) -> str:
    """The name of the layer's activation function."""
    value = node.config.get("activation") or "linear"
    if isinstance(value, Mapping):
        value = value.get("config") if value.get("class_name") == "function" else value.get("class_name")
    if not isinstance(value, str):
        raise node.refuse(f"activation={value!r}")
    return value


def last_axis(node: Node, rank: int, option: str = "axis") -> None:
    """Unsupported unless the axis is the last of a tensor of ``rank`` (with the batch)."""
    axis = node.config.get(option, -1)
    if isinstance(axis, list | tuple) and len(axis) == 1:
        axis = axis[0]
    if axis not in (-1, rank - 1):
        raise node.refuse(f"{option}={axis!r}")


def window(
    node: Node, height: int, width: int, kernel: Pair, strides: Pair, dilation: Pair = (1, 1)
) -> tuple[Pair, Pair, Pair]:
    """Output size, (top, bottom) and (left, right) padding of a sliding window.

    ``same`` is TensorFlow's rule: the odd pixel goes to the bottom and the right.
    """
    mode = node.config.get("padding", "valid")
    if mode not in ("same", "valid"):
        raise node.refuse(f"padding={mode!r}")
    rows, vertical = _slide(height, (kernel[0] - 1) * dilation[0] + 1, strides[0], mode)
    columns, horizontal = _slide(width, (kernel[1] - 1) * dilation[1] + 1, strides[1], mode)
    if rows < 1 or columns < 1:
        raise node.refuse(f"a window larger than its {height} x {width} input")
    return (rows, columns), vertical, horizontal


def _slide(size: int, reach: int, stride: int, mode: str) -> tuple[int, Pair]:
    if mode == "valid":
        return (size - reach) // stride + 1, (0, 0)
    count = -(-size // stride)
    total = max((count - 1) * stride + reach - size, 0)
    return count, (total // 2, total - total // 2)
