"""A graph that TensorFlow traced, as the network of Keras layers that does the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skerry.errors import InvalidInput, Unsupported
from skerry.model.network import F32, Json, Network, Node, Operand, image_shape, network_of

Array = NDArray[Any]
Value = str | Array


@dataclass(frozen=True, slots=True)
class Step:
    """One operation: its inputs are names of nodes or arrays, ``shape`` is the result's, with the batch."""

    name: str
    kind: str
    inputs: Sequence[Value]
    shape: Sequence[int | None]
    options: Mapping[str, Json]

    def refuse(self, what: str) -> Unsupported:
        return Unsupported(
            f"operation {self.name!r} ({self.kind}): {what} is not known",
            hint="replace the layer it comes from, or open an issue with the model's summary",
            layer=self.name,
            kind=self.kind,
        )

    def array(self, place: int) -> Array:
        """An input that has to be constant."""
        value = self.inputs[place]
        if isinstance(value, str):
            raise self.refuse("a computed parameter")
        return value

    def whole(self, place: int) -> list[int]:
        return [int(n) for n in self.array(place).reshape(-1)]

    def operands(self) -> tuple[Operand, ...]:
        return tuple(v if isinstance(v, str) else np.asarray(v, np.float32) for v in self.inputs)

    def node(
        self, kind: str, config: Mapping[str, Json], weights: Sequence[Array] = (), count: int = 1
    ) -> Node:
        """A node of the first ``count`` inputs."""
        arrays: tuple[F32, ...] = tuple(np.asarray(a, np.float32) for a in weights)
        return Node(self.name, kind, {"name": self.name, **config}, arrays, self.operands()[:count])


def network_from_graph(
    document: Mapping[str, Json],
    constants: Mapping[str, Array],
    *,
    name: str,
    version: str,
    head: str | None,
) -> Network:
    """The network; Unsupported names the operation without a rule."""
    _refuse_chance(document)
    image = str(document["input"])
    values: dict[str, Value] = {**constants, image: "image"}
    waiting: dict[str, Mapping[str, Json]] = {}
    for op in document["operations"]:
        waiting[f"{op['name']}:0"] = op
    nodes: list[Node] = []
    outputs = {str(key): str(tensor) for key, tensor in document["outputs"].items()}
    for tensor in outputs.values():
        _build(tensor, waiting, values, nodes)
    ends = {key: values[tensor] for key, tensor in outputs.items()}
    named = {key: value for key, value in ends.items() if isinstance(value, str)}
    if not named:
        raise InvalidInput("the model gives the same answer to every image", hint="was it trained?")
    return network_of(
        nodes,
        name=name,
        input_name="image",
        shape=image_shape("image", document["shape"], None),
        outputs=named,
        head=head,
        keras_version=version,
        parameters=sum(array.size for node in nodes for array in node.weights),
    )


def _refuse_chance(document: Mapping[str, Json]) -> None:
    for op in document["operations"]:
        if "Random" in str(op["kind"]):
            raise Unsupported(
                f"the model draws random numbers when it predicts: {op['kind']} ({op['name']!r})",
                hint="it was saved with training on; export it with training=False",
                layer=op["name"],
                kind=op["kind"],
            )


def _build(
    tensor: str, waiting: Mapping[str, Mapping[str, Json]], values: dict[str, Value], nodes: list[Node]
) -> None:
    """Append what ``tensor`` needs; only that: shapes computed on the way are known without computing."""
    stack = [tensor]
    while stack:
        current = stack[-1]
        if current in values:
            stack.pop()
            continue
        op = waiting.get(current)
        if op is None:
            raise Unsupported(f"{current} is a second result of an operation, which is not known")
        kind = str(op["kind"])
        needed = [str(t) for t in op["inputs"]]
        needed = [needed[i] for i in _READ.get(kind, range(len(needed))) if i < len(needed)]
        missing = [t for t in needed if t not in values]
        if missing:
            stack.extend(missing)
            continue
        step = Step(str(op["name"]), kind, [values[t] for t in needed], op["shape"] or (), op["options"])
        values[current] = _value(step, nodes)
        stack.pop()


def _value(step: Step, nodes: list[Node]) -> Value:
    if step.kind in _SAME:
        return step.inputs[0]
    if step.kind not in RULES:
        raise Unsupported(
            f"the model has an operation {step.kind} ({step.name!r}), which is not known",
            hint="replace the layer it comes from, or open an issue with the model's summary",
            layer=step.name,
            kind=step.kind,
        )
    made = RULES[step.kind](step)
    nodes.append(made)
    return made.name


def _convolution(step: Step) -> Node:
    kernel = step.array(1)
    groups = int(step.options["channels"]) // int(kernel.shape[2])
    return step.node("Conv2D", {**_window(step), "use_bias": False, "groups": groups}, [kernel])


def _depthwise(step: Step) -> Node:
    return step.node("DepthwiseConv2D", {**_window(step), "use_bias": False}, [step.array(1)])


def _window(step: Step) -> dict[str, Json]:
    if step.options.get("data_format", "NHWC") != "NHWC":
        raise step.refuse("channels first")
    padding = str(step.options["padding"]).lower()
    dilation = step.options.get("dilations") or [1, 1, 1, 1]
    return {"strides": step.options["strides"][1:3], "padding": padding, "dilation_rate": dilation[1:3]}


def _transposed(step: Step) -> Node:
    kernel, strides = step.array(0), step.options["strides"][1:3]
    config = {"strides": strides, "padding": str(step.options["padding"]).lower(), "use_bias": False}
    return Node(
        step.name, "Conv2DTranspose", config, (np.asarray(kernel, np.float32),), (str(step.inputs[1]),)
    )


def _matrix(step: Step) -> Node:
    second = step.array(1)
    if second.ndim != 2 or step.options.get("transpose_a") or step.options.get("adj_x"):
        raise step.refuse("a product of this form")
    turned = step.options.get("transpose_b") or step.options.get("adj_y")
    return step.node("Dense", {"use_bias": False}, [second.T if turned else second])


def _batch_normalization(step: Step) -> Node:
    if step.options.get("is_training"):
        raise step.refuse("statistics of the batch; save it with training=False, training on")
    arrays = [step.array(i) for i in range(1, 5)]
    return step.node("BatchNormalization", {"epsilon": step.options["epsilon"], "axis": -1}, arrays)


def _pooling(kind: str) -> Callable[[Step], Node]:
    return lambda step: step.node(kind, {**_window(step), "pool_size": step.options["ksize"][1:3]})


def _padding(step: Step) -> Node:
    pads = step.array(1).astype(int).tolist()
    if (
        len(pads) != 4
        or pads[0] != [0, 0]
        or pads[3] != [0, 0]
        or (len(step.inputs) > 2 and step.array(2).any())
    ):
        raise step.refuse(f"padding of {pads}")
    return step.node("ZeroPadding2D", {"padding": pads[1:3]})


def _reduction(kind: str) -> Callable[[Step], Node]:
    def rule(step: Step) -> Node:
        return step.node(kind, {"axis": step.whole(1), "keepdims": bool(step.options.get("keep_dims"))})

    return rule


def _reshape(step: Step) -> Node:
    if any(side is None for side in step.shape[1:]):
        raise step.refuse(f"an open shape {list(step.shape)}")
    return step.node("ops.Reshape", {"newshape": [-1, *step.shape[1:]]})


def _transpose(step: Step) -> Node:
    return step.node("ops.Transpose", {"axes": step.whole(1)})


def _concatenation(step: Step) -> Node:
    return step.node("Concatenate", {"axis": step.whole(-1)[0]}, count=len(step.inputs) - 1)


def _slice(step: Step) -> Node:
    begin, end, stride = (step.whole(i) for i in (1, 2, 3))
    masks = {
        m: int(step.options.get(f"{m}_mask", 0))
        for m in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    if masks["new_axis"]:
        raise step.refuse("a new axis")
    key: list[Json] = []
    for i in range(len(begin)):
        bit = 1 << i
        if masks["ellipsis"] & bit:
            key.append({"class_name": "__ellipsis__"})
        elif masks["shrink_axis"] & bit:
            key.append(begin[i])
        else:
            start = None if masks["begin"] & bit else begin[i]
            stop = None if masks["end"] & bit else end[i]
            key.append({"start": start, "stop": stop, "step": stride[i]})
    return step.node("ops.GetItem", {"key": key})


def _reverse(step: Step) -> Node:
    rank = len(step.shape)
    axes = [axis % rank for axis in step.whole(1)]
    backwards, whole = {"start": None, "stop": None, "step": -1}, {"start": None, "stop": None, "step": 1}
    return step.node("ops.GetItem", {"key": [backwards if i in axes else whole for i in range(rank)]})


def _resizing(method: str) -> Callable[[Step], Node]:
    def rule(step: Step) -> Node:
        if not step.options.get("half_pixel_centers") or step.options.get("align_corners"):
            raise step.refuse("resizing by corners")
        height, width = step.shape[1:3]
        return step.node("Resizing", {"height": height, "width": width, "interpolation": method})

    return rule


def _kind(kind: str, **config: Json) -> Callable[[Step], Node]:
    return lambda step: step.node(kind, config, count=len(step.inputs))


def _function(name: str) -> Callable[[Step], Node]:
    return _kind("Activation", activation=name)


_SAME = ("Identity", "StopGradient", "PreventGradient", "Cast", "CheckNumerics", "Snapshot", "IdentityN")
# Which inputs count; the others only say shapes that are known, or scale a training step.
_READ: Mapping[str, Sequence[int]] = {
    "Reshape": (0,),
    "Squeeze": (0,),
    "ExpandDims": (0,),
    "ResizeBilinear": (0,),
    "ResizeNearestNeighbor": (0,),
    "Conv2DBackpropInput": (1, 2),
}
RULES: Mapping[str, Callable[[Step], Node]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "Conv2DBackpropInput": _transposed,
    "MatMul": _matrix,
    "BatchMatMulV2": _matrix,
    "BiasAdd": _kind("ops.Add"),
    "FusedBatchNormV3": _batch_normalization,
    "FusedBatchNorm": _batch_normalization,
    "MaxPool": _pooling("MaxPooling2D"),
    "AvgPool": _pooling("AveragePooling2D"),
    "Pad": _padding,
    "PadV2": _padding,
    "Mean": _reduction("ops.Mean"),
    "Max": _reduction("ops.Max"),
    "Min": _reduction("ops.Min"),
    "Sum": _reduction("ops.Sum"),
    "Reshape": _reshape,
    "Squeeze": _reshape,
    "ExpandDims": _reshape,
    "Transpose": _transpose,
    "ConcatV2": _concatenation,
    "Pack": lambda step: step.node("ops.Stack", {"axis": step.options["axis"]}, count=len(step.inputs)),
    "StridedSlice": _slice,
    "ReverseV2": _reverse,
    "ResizeBilinear": _resizing("bilinear"),
    "ResizeNearestNeighbor": _resizing("nearest"),
    "AddV2": _kind("ops.Add"),
    "Add": _kind("ops.Add"),
    "AddN": _kind("Add"),
    "Sub": _kind("ops.Subtract"),
    "Mul": _kind("ops.Multiply"),
    "SquaredDifference": _kind("ops.SquaredDifference"),
    "RealDiv": _kind("ops.TrueDivide"),
    "Maximum": _kind("ops.Maximum"),
    "Minimum": _kind("ops.Minimum"),
    "Pow": _kind("ops.Power"),
    "Sqrt": _kind("ops.Sqrt"),
    "Rsqrt": _kind("ops.Rsqrt"),
    "Square": _kind("ops.Square"),
    "Exp": _kind("ops.Exp"),
    "Log": _kind("ops.Log"),
    "Abs": _kind("ops.Absolute"),
    "Neg": _kind("ops.Negative"),
    "Erf": _kind("ops.Erf"),
    "Erfc": _kind("ops.Erfc"),
    "Softmax": _kind("Softmax", axis=-1),
    "LogSoftmax": _function("log_softmax"),
    "LeakyRelu": lambda step: step.node("LeakyReLU", {"negative_slope": step.options["alpha"]}),
    **{name: _function(name.lower()) for name in
       ("Relu", "Relu6", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Softsign")},
}  # fmt: skip
