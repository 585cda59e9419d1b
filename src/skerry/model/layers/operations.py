"""Keras' operations: functions applied in the graph, such as ``x / 127.5`` or ``keras.ops.mean``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from skerry.model.keras_file import F32, Json
from skerry.model.layers.activations import FUNCTIONS
from skerry.model.layers.arithmetic import broadcast
from skerry.model.layers.shaping import concatenate, reshaped, transposed
from skerry.model.network import Node
from skerry.model.onnx_writer import OnnxWriter, Tensor

Emit = Callable[[OnnxWriter, Node, Sequence[Tensor]], Tensor]
_FAR = 2**31 - 1


def binary(kind: str) -> Emit:
    """``a + b`` and the like, where one of the two may be a number or an array."""

    def emit(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
        if len(node.operands) != 2:
            raise node.refuse(f"{len(node.operands)} operands")
        tensors = iter(inputs)
        sides = [next(tensors) if isinstance(o, str) else o for o in node.operands]
        names = [
            side.name if isinstance(side, Tensor) else _given(out, node, side, inputs[0]) for side in sides
        ]
        shapes = [x.shape for x in inputs]
        if len(shapes) == 2 and len(shapes[0]) != len(shapes[1]):
            raise node.refuse(f"joining shapes {shapes}")
        return Tensor(out.op(kind, names), broadcast(node, shapes[0], _other_shape(sides, shapes)))

    return emit


def _other_shape(sides: Sequence[Tensor | float | F32], shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    arrays = [side for side in sides if isinstance(side, np.ndarray)]
    return tuple(arrays[0].shape[-len(shapes[0]) :]) if arrays else shapes[-1]


def _given(out: OnnxWriter, node: Node, value: float | F32, x: Tensor) -> str:
    """A number or array beside ``x``, in its layout."""
    if not isinstance(value, np.ndarray) or value.size == 1:
        return out.number(float(np.asarray(value).reshape(())), "number")
    rank = len(x.shape) + 1
    if value.ndim > rank or (value.ndim == rank and value.shape[0] != 1):
        raise node.refuse(f"an array of shape {value.shape} beside {x.shape}")
    if not x.is_image:
        return out.constant(value, "array")
    return out.constant(value.reshape((1,) * (4 - value.ndim) + value.shape).transpose(0, 3, 1, 2), "array")


def unary(kind: str) -> Emit:
    """One of ONNX' own functions of one value."""
    return lambda out, node, inputs: Tensor(out.op(kind, [inputs[0].name]), inputs[0].shape)


def function(name: str) -> Emit:
    """One of the activation functions."""
    return lambda out, node, inputs: Tensor(FUNCTIONS[name](out, inputs[0]), inputs[0].shape)


def square(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    return Tensor(out.op("Mul", [inputs[0].name, inputs[0].name]), inputs[0].shape)


def squared_difference(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """As in TensorFlow's moments."""
    return square(out, node, [binary("Sub")(out, node, inputs)])


def rsqrt(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    return Tensor(out.op("Reciprocal", [out.op("Sqrt", [inputs[0].name])]), inputs[0].shape)


def erfc(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """One minus the error function: TensorFlow's way to GELU."""
    return Tensor(out.op("Sub", [out.number(1, "one"), out.op("Erf", [inputs[0].name])]), inputs[0].shape)


def clip(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    low, high = (out.number(float(node.config[side]), side) for side in ("x_min", "x_max"))
    return Tensor(out.op("Clip", [inputs[0].name, low, high]), inputs[0].shape)


def reduction(kind: str) -> Emit:
    """A mean, sum or largest value over axes other than the batch."""

    def emit(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
        x, keep = inputs[0], bool(node.config.get("keepdims"))
        axes = reduced_axes(node, len(x.shape) + 1)
        shape = tuple(1 if i in axes else side for i, side in enumerate(x.shape, 1) if keep or i not in axes)
        straight = x.is_image and (keep or axes in ([1, 2], [3], [1, 2, 3]))
        name, places = (x.name, [out.axis(x, a) for a in axes]) if straight else (out.to_keras(x), axes)
        if kind == "ReduceSum":
            made = out.op(kind, [name, out.whole(sorted(places), "axes")], keepdims=int(keep))
        else:
            made = out.op(kind, [name], axes=sorted(places), keepdims=int(keep))
        return Tensor(made, shape) if straight else out.from_keras(made, shape)

    return emit


def reduced_axes(node: Node, rank: int) -> list[int]:
    """The axes a reduction goes over, counted with the batch."""
    axis = node.config.get("axis")
    axes = list(range(rank)) if axis is None else [axis] if isinstance(axis, int) else list(axis)
    found = sorted(int(a) % rank for a in axes)
    if 0 in found:
        raise node.refuse("a value over the whole batch")
    return found


def reshape(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    return reshaped(out, inputs[0], new_shape(node, inputs[0].shape))


def new_shape(node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The target of a reshape without the batch, which has to stay."""
    target = [-1 if side is None else int(side) for side in node.config["newshape"]]
    total, rest = int(np.prod(shape)), target[1:]
    if rest.count(-1) == 1:
        rest[rest.index(-1)] = total // -int(np.prod(rest))
    if target[0] != -1 or int(np.prod(rest)) != total:
        raise node.refuse(f"reshaping {shape} to {target}")
    return tuple(rest)


def transpose(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    axes = [int(a) for a in node.config["axes"]]
    if axes[0] != 0:
        raise node.refuse(f"axes={axes}")
    return transposed(out, inputs[0], axes[1:])


def stack(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """Tensors side by side along a new axis."""
    axis = int(node.config.get("axis", 0)) % (len(inputs[0].shape) + 2)
    shape = (*inputs[0].shape[: axis - 1], len(inputs), *inputs[0].shape[axis - 1 :])
    if axis == 0 or len(inputs[0].shape) > 2:
        raise node.refuse(f"axis={axis}")
    # Two axes become an image: channels are put where the graph has them, so nothing need be moved after.
    place = 1 if (axis, len(shape)) == (3, 3) else axis
    rows = [out.op("Unsqueeze", [x.name, out.whole([place], "axis")]) for x in inputs]
    name = out.op("Concat", rows, axis=place)
    return Tensor(name, shape) if place != axis or len(shape) != 3 else out.from_keras(name, shape)


def get_item(out: OnnxWriter, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """``x[..., ::-1]`` and the like: numbers and slices along axes other than the batch."""
    x = inputs[0]
    picks = item_picks(node, len(x.shape) + 1)
    numbers = [axis for axis, pick in picks.items() if isinstance(pick, int)]
    if x.is_image and numbers and numbers != [3]:
        raise node.refuse(f"a number for axis {numbers[0]} of an image")
    name, shape = x.name, list(x.shape)
    for axis, pick in sorted(picks.items(), reverse=True):
        place = out.axis(x, axis)
        if isinstance(pick, int):
            name = out.op("Gather", [name, out.constant(np.array(pick, np.int64), "index")], axis=place)
            del shape[axis - 1]
            continue
        shape[axis - 1] = len(range(*pick.indices(shape[axis - 1])))
        step = pick.step or 1
        begin = (0 if step > 0 else _FAR) if pick.start is None else pick.start
        end = (_FAR if step > 0 else -_FAR) if pick.stop is None else pick.stop
        given = [
            out.whole([number], what)
            for number, what in ((begin, "start"), (end, "end"), (place, "axis"), (step, "step"))
        ]
        name = out.op("Slice", [name, *given])
    return Tensor(name, tuple(shape))


def item_picks(node: Node, rank: int) -> Mapping[int, int | slice]:
    """Axis, counted with the batch, by what is taken from it; axes taken whole are left out."""
    key = node.config["key"]
    parts = list(key) if isinstance(key, list | tuple) else [key]
    read = [_pick(node, part) for part in parts]
    if Ellipsis in read:
        place = read.index(Ellipsis)
        read[place : place + 1] = [slice(None)] * (rank - len(read) + 1)
    picks: dict[int, int | slice] = {}
    for axis, part in enumerate(read):
        if isinstance(part, int) or (isinstance(part, slice) and not _whole(part)):
            picks[axis] = part
    if 0 in picks:
        raise node.refuse("taking a part of the batch")
    return picks


def _whole(part: slice) -> bool:
    return part.start in (None, 0) and part.stop is None and part.step in (None, 1)


def _pick(node: Node, part: Json) -> object:
    if isinstance(part, Mapping):
        if part.get("class_name") == "__ellipsis__":
            return Ellipsis
        inner = part.get("config", part)
        if "step" in inner:
            return slice(
                *(None if inner.get(k) is None else int(inner[k]) for k in ("start", "stop", "step"))
            )
    if isinstance(part, int) and not isinstance(part, bool):
        return part
    raise node.refuse(f"the index {part!r}")


OPERATIONS: Mapping[str, Emit] = {
    "ops.Add": binary("Add"),
    "ops.Subtract": binary("Sub"),
    "ops.Multiply": binary("Mul"),
    "ops.Divide": binary("Div"),
    "ops.TrueDivide": binary("Div"),
    "ops.Maximum": binary("Max"),
    "ops.Minimum": binary("Min"),
    "ops.Power": binary("Pow"),
    "ops.Mean": reduction("ReduceMean"),
    "ops.Max": reduction("ReduceMax"),
    "ops.Min": reduction("ReduceMin"),
    "ops.Sum": reduction("ReduceSum"),
    "ops.Sqrt": unary("Sqrt"),
    "ops.Rsqrt": rsqrt,
    "ops.Square": square,
    "ops.Exp": unary("Exp"),
    "ops.Log": unary("Log"),
    "ops.Absolute": unary("Abs"),
    "ops.Negative": unary("Neg"),
    "ops.Erf": unary("Erf"),
    "ops.SquaredDifference": squared_difference,
    "ops.Erfc": erfc,
    "ops.Relu": function("relu"),
    "ops.Relu6": function("relu6"),
    "ops.Sigmoid": function("sigmoid"),
    "ops.Tanh": function("tanh"),
    "ops.Silu": function("silu"),
    "ops.HardSigmoid": function("hard_sigmoid"),
    "ops.HardSilu": function("hard_silu"),
    "ops.Clip": clip,
    "ops.Reshape": reshape,
    "ops.Transpose": transpose,
    "ops.Stack": stack,
    "ops.Concatenate": concatenate,
    "ops.GetItem": get_item,
}
