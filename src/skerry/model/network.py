"""The network: layer applications in order, whatever file they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skerry.errors import InvalidInput, Unsupported

Json = Any
F32 = NDArray[np.float32]
Operand = str | float | F32


class ForeignLayer(Unsupported):
    """A layer whose behaviour is somebody's code, not a rule of Keras'."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One application of one layer: ``name`` is unique (nested layers as ``base/conv``, reuse as ``fc#1``).

    ``kind`` is the Keras class, with ``ops.`` before it for operations such as ``x / 127.5``.
    ``operands`` are names of nodes; operations may have numbers and arrays among them.
    """

    name: str
    kind: str
    config: Mapping[str, Json]
    weights: tuple[F32, ...]
    operands: tuple[Operand, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The nodes this one reads."""
        return tuple(o for o in self.operands if isinstance(o, str))

    def refuse(self, what: str) -> Unsupported:
        """The error for an option this build has no rule for."""
        return Unsupported(
            f"layer {self.name!r} ({self.kind}): {what} is not known",
            hint="replace the layer, or open an issue with the model's summary",
            layer=self.name,
            kind=self.kind,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A network with one image input (height, width, channels), in order of execution.

    ``output`` is the node whose numbers the labels name; ``others`` are the nodes of further outputs, and
    ``heads`` what all of them are called, in that order.
    ``onnx`` or ``litert`` is the file itself where the model came so: then ``nodes`` are its outputs alone.
    ``precision`` is what Keras computed in while it trained; we compute in float32.
    """

    name: str
    input: str
    shape: tuple[int, int, int]
    nodes: tuple[Node, ...]
    output: str
    keras_version: str
    layers: int
    parameters: int
    heads: tuple[str, ...]
    others: tuple[str, ...] = ()
    onnx: bytes | None = None
    litert: bytes | None = None
    precision: str = "float32"


def network_of(
    nodes: Sequence[Node],
    *,
    name: str,
    input_name: str,
    shape: tuple[int, int, int],
    outputs: Mapping[str, str],
    head: str | None,
    keras_version: str,
    parameters: int,
) -> Network:
    """The network of those nodes that ``outputs`` (name to node) need; ``head`` comes first."""
    if head is not None and head not in outputs:
        raise InvalidInput(
            f"the model has no output {head!r}", hint=f"one of {', '.join(outputs)}", value=head
        )
    first = head or next(iter(outputs))
    heads = {outputs[first]: first}
    for out, node in outputs.items():
        heads.setdefault(node, out)
    others = tuple(heads)[1:]
    needed = tuple(_needed(nodes, (outputs[first], *others)))
    return Network(
        name=name,
        input=input_name,
        shape=shape,
        nodes=needed,
        output=outputs[first],
        keras_version=keras_version,
        layers=len({node.name.partition("#")[0] for node in needed}),
        parameters=parameters,
        heads=tuple(heads.values()),
        others=others,
    )


def image_shape(name: str, shape: Sequence[Json], size: tuple[int, int] | None) -> tuple[int, int, int]:
    """The input's (height, width, channels), from a shape with the batch."""
    if len(shape) != 4:
        raise Unsupported(
            f"input {name!r} has shape {list(shape)}; images are [batch, height, width, channels]"
        )
    height, width, channels = shape[1:]
    if size is not None:
        if (height or size[0], width or size[1]) != size:
            raise InvalidInput(f"input {name!r} is {height} x {width}, not {size[0]} x {size[1]}", value=size)
        height, width = size
    if not (isinstance(height, int) and isinstance(width, int) and isinstance(channels, int)):
        raise InvalidInput(
            f"input {name!r} has an open size {list(shape)}", hint="name the size to build for"
        )
    return height, width, channels


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if node.name in wanted:
            kept.append(node)
            wanted.update(node.inputs)
    return kept[::-1]
