"""A model that is ONNX already: checked, and brought to the ends that a package has."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from skerry.errors import Damaged, InvalidInput, NotFound, SkerryError, Unsupported
from skerry.model.network import Json, Network, Node, image_shape
from skerry.model.onnx_session import OnnxSession

# ONNX Runtime on the device (1.23) runs opset 7 to 23 of the standard operators, and its own contrib ones.
OPSET_MIN, OPSET_MAX = 7, 23
_CHANNELS = (1, 3)
# protobuf's error for bytes that are no message; onnx gives the module no types.
_DECODE_ERROR: type[Exception] = importlib.import_module("google.protobuf.message").DecodeError


def read_onnx(path: Path, size: tuple[int, int] | None = None, head: str | None = None) -> Network:
    """The ONNX file at ``path`` with one float image input and an open batch.

    An input with channels first gets a transpose before it, a fixed batch of 1 is opened. NotFound,
    InvalidInput for what is no ONNX model, Unsupported for ends or an opset that do not fit.
    """
    if not path.is_file():
        raise NotFound(f"no model file {path}", path=str(path))
    try:
        model = onnx.load_model_from_string(path.read_bytes())
        onnx.checker.check_model(model)
    except (_DECODE_ERROR, onnx.checker.ValidationError, ValueError, TypeError) as exc:
        raise _not_onnx(path, exc) from exc
    _check_opset(model, path)
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise Unsupported(
            f"{path.name} has {len(inputs)} inputs, not one", hint="export it with one image input"
        )
    shape = _image(inputs[0], size)
    _open_batch(model, inputs[0], shape)
    outputs = _outputs(model, head, path)
    data = bytes(model.SerializeToString(deterministic=True))
    sizes = _tried(data, shape, path)
    makers = {made: node.op_type for node in graph.node for made in node.output}
    kinds = {"Softmax": "softmax", "Sigmoid": "sigmoid"}
    nodes = tuple(
        Node(name, "onnx", {"activation": kinds.get(makers.get(name, ""), "linear"), "units": size}, (), ())
        for name, size in zip(outputs, sizes, strict=True)
    )
    return Network(
        name=str(graph.name or path.stem),
        input=graph.input[0].name,
        shape=shape,
        nodes=nodes,
        output=outputs[0],
        keras_version=f"ONNX by {model.producer_name or 'an unknown producer'}",
        layers=len(graph.node),
        parameters=sum(int(np.prod(tensor.dims)) for tensor in graph.initializer),
        heads=tuple(outputs),
        others=tuple(outputs[1:]),
        onnx=data,
    )


def _not_onnx(path: Path, cause: BaseException) -> InvalidInput:
    reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
    return InvalidInput(
        f"{path.name} is no valid ONNX model: {reason}",
        hint="export it again, weights inside",
        path=str(path),
    )


def _check_opset(model: Json, path: Path) -> None:
    for used in model.opset_import:
        if used.domain in ("", "ai.onnx") and not OPSET_MIN <= used.version <= OPSET_MAX:
            raise Unsupported(
                f"{path.name} uses opset {used.version}; devices run {OPSET_MIN} to {OPSET_MAX}",
                hint="export it with opset 17",
                opset=used.version,
            )


def _image(given: Json, size: tuple[int, int] | None) -> tuple[int, int, int]:
    """The image's shape as Keras has it; the graph is not changed yet."""
    tensor = given.type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT:
        raise Unsupported(
            f"input {given.name!r} is not float32",
            hint="export the model with a float32 input",
            input=given.name,
        )
    sides: list[int | None] = [d.dim_value or None for d in tensor.shape.dim]
    if _channels_first(sides):
        sides = [sides[0], *sides[2:], sides[1]]
    return image_shape(given.name, sides, size)


def _channels_first(sides: Sequence[int | None]) -> bool:
    return len(sides) == 4 and sides[1] in _CHANNELS and sides[3] not in _CHANNELS


def _open_batch(model: Json, given: Json, shape: tuple[int, int, int]) -> None:
    """Give the graph an input ``[N, height, width, channels]``."""
    dims = given.type.tensor_type.shape.dim
    first = _channels_first([d.dim_value or None for d in dims])
    for value in (given, *model.graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "N"
    name = f"{given.name}_nhwc" if first else given.name
    image = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
    if first:
        turn = helper.make_node("Transpose", [name], [given.name], perm=[0, 3, 1, 2], name=f"{name}/turn")
        nodes = [turn, *model.graph.node]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    others = [value for value in model.graph.input if value.name != given.name]
    del model.graph.input[:]
    model.graph.input.extend([image, *others])
    del model.graph.value_info[:]  # They may still say batch 1.


def _outputs(model: Json, head: str | None, path: Path) -> list[str]:
    """The outputs' names, ``head`` first, in the graph too."""
    values = {value.name: value for value in model.graph.output}
    if head is not None and head not in values:
        raise InvalidInput(
            f"{path.name} has no output {head!r}", hint=f"one of {', '.join(values)}", value=head
        )
    names = sorted(values, key=lambda name: name != head) if head else list(values)
    ordered = [values[name] for name in names]
    del model.graph.output[:]
    model.graph.output.extend(ordered)
    return names


def _tried(data: bytes, shape: tuple[int, int, int], path: Path) -> list[int]:
    """How many numbers each output gives; the model has to run at batch 1 and at batch 2."""
    try:
        session = OnnxSession(data)
        sizes = [session.run_all(np.zeros((n, *shape), np.float32)) for n in (1, 2)]
    except SkerryError as exc:
        raise InvalidInput(f"{path.name} cannot be loaded: {exc.what}", path=str(path)) from exc
    for one, two in zip(*sizes, strict=True):
        if one.ndim != 2 or len(two) != 2:
            raise Unsupported(
                f"{path.name} gives shape {list(two.shape)} for two images, not one row of numbers each",
                hint="export a classifier with an open batch",
                shape=list(two.shape),
            )
    if not np.isfinite(sizes[0][0]).all():
        raise Damaged(f"{path.name} answers a black image with NaN", hint="export it again", path=str(path))
    return [int(one.shape[1]) for one in sizes[0]]
