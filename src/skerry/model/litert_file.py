"""A model that is LiteRT (TensorFlow Lite) already: checked, and carried as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skerry.errors import Damaged, InvalidInput, NotFound, SkerryError, Unavailable, Unsupported
from skerry.model.litert_session import LiteRtSession
from skerry.model.network import Network, Node, image_shape

_MAGIC = b"TFL3"  # At offset 4 of the flatbuffer.
_KINDS = {"SOFTMAX": "softmax", "LOGISTIC": "sigmoid"}


def read_litert(path: Path, size: tuple[int, int] | None = None, head: str | None = None) -> Network:
    """The ``.tflite`` file at ``path`` with one float image input.

    NotFound, InvalidInput for what is no LiteRT model, Unsupported for ends that do not fit, Unavailable
    without LiteRT.
    """
    if not path.is_file():
        raise NotFound(f"no model file {path}", path=str(path))
    data = path.read_bytes()
    if data[4:8] != _MAGIC:
        raise InvalidInput(f"{path.name} is no LiteRT model", hint="convert it again", path=str(path))
    try:
        session = LiteRtSession(data)
    except Unavailable:
        raise
    except SkerryError as exc:
        raise InvalidInput(f"{path.name} is no LiteRT model that loads: {exc.what}", path=str(path)) from exc
    shape = _image(session, size, path)
    names = [str(each["name"]) for each in session.outputs]
    if head is not None and head != names[0]:
        raise Unsupported(
            f"the main output of a LiteRT file is its first, {names[0]!r}",
            hint="convert it with that output first",
            value=head,
        )
    sizes = _tried(session, shape, path)
    makers = {index: op["op_name"] for op in session.operations for index in op["outputs"]}
    kinds = [_KINDS.get(makers.get(each["index"], ""), "linear") for each in session.outputs]
    nodes = tuple(
        Node(name, "litert", {"activation": kind, "units": count}, (), ())
        for name, kind, count in zip(names, kinds, sizes, strict=True)
    )
    return Network(
        name=path.stem,
        input=str(session.inputs[0]["name"]),
        shape=shape,
        nodes=nodes,
        output=names[0],
        keras_version="LiteRT file",
        layers=len(session.operations),
        parameters=_parameters(session),
        heads=tuple(names),
        others=tuple(names[1:]),
        litert=data,
    )


def _image(session: LiteRtSession, size: tuple[int, int] | None, path: Path) -> tuple[int, int, int]:
    if len(session.inputs) != 1:
        raise Unsupported(
            f"{path.name} has {len(session.inputs)} inputs, not one", hint="convert it with one image input"
        )
    given = session.inputs[0]
    for end, each in (("input", given), *(("output", each) for each in session.outputs)):
        if each["dtype"] is not np.float32:
            raise Unsupported(
                f"the {end} {each['name']!r} of {path.name} is {np.dtype(each['dtype']).name}, not float32",
                hint="convert it with float ends; inside it may be quantised",
            )
    sides = [None, *(int(side) if side > 0 else None for side in given["shape_signature"][1:])]
    return image_shape(str(given["name"]), sides, size)


def _tried(session: LiteRtSession, shape: tuple[int, int, int], path: Path) -> list[int]:
    """How many numbers each output gives; a black image is answered with numbers."""
    try:
        made = session.run_all(np.zeros((session.fixed_batch or 2, *shape), np.float32))
    except SkerryError as exc:
        raise InvalidInput(f"{path.name} does not run: {exc.what}", path=str(path)) from exc
    if not all(np.isfinite(output).all() for output in made):
        raise Damaged(f"{path.name} answers a black image with NaN", hint="convert it again", path=str(path))
    return [int(output.shape[1]) for output in made]


def _parameters(session: LiteRtSession) -> int:
    """The numbers in tensors that nothing computes."""
    computed = {int(index) for op in session.operations for index in op["outputs"]}
    computed.add(int(session.inputs[0]["index"]))
    return sum(int(np.prod(each["shape"])) for each in session.tensors if int(each["index"]) not in computed)
