"""An ONNX graph in the making: constants, nodes with unique names, and the shape of every tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

# 17 is the first with LayerNormalization; every runtime since ONNX Runtime 1.12 has it. IR 8 goes with it.
OPSET, IR_VERSION = 17, 8
Array = NDArray[np.float32] | NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value in the graph; ``shape`` is Keras' without the batch.

    Rank 3 (height, width, channels) is laid out NCHW in the graph, as ONNX convolutions want it; all other
    ranks are laid out as in Keras.
    """

    name: str
    shape: tuple[int, ...]

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3

    @property
    def channels(self) -> int:
        return self.shape[-1]


@dataclass
class OnnxWriter:
    """Collects nodes and constants; equal calls give equal bytes."""

    scope: str = ""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)

    def enter(self, layer: str) -> None:
        """Name what follows after this layer."""
        self.scope = layer

    def unique(self, what: str) -> str:
        name = base = f"{self.scope}/{what}" if what else self.scope
        count = 1
        while name in self._taken:
            name, count = f"{base}_{count}", count + 1
        self._taken.add(name)
        return name

    def constant(self, array: Array, what: str) -> str:
        """A constant tensor, float32 or int64; returns its name."""
        name = self.unique(what)
        self.constants.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def whole(self, values: Sequence[int], what: str) -> str:
        return self.constant(np.array(values, np.int64), what)

    def number(self, value: float, what: str) -> str:
        return self.constant(np.array(value, np.float32), what)

    def op(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Append one node; returns the name of its output."""
        name = self.unique(kind)
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def channel_constant(self, values: NDArray[np.float32], tensor: Tensor, what: str) -> str:
        """A constant that broadcasts over ``tensor`` along Keras' last axis (or a scalar)."""
        flat = np.asarray(values, np.float32)
        if flat.ndim == 0 or flat.size == 1:
            return self.number(float(flat.reshape(())), what)
        return self.constant(flat.reshape(-1, 1, 1) if tensor.is_image else flat.reshape(-1), what)

    def to_keras(self, tensor: Tensor) -> str:
        """The tensor in Keras' axis order."""
        if not tensor.is_image:
            return tensor.name
        return self.op("Transpose", [tensor.name], perm=[0, 2, 3, 1])

    def from_keras(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A tensor of ours from a value in Keras' axis order."""
        if len(shape) == 3:
            name = self.op("Transpose", [name], perm=[0, 3, 1, 2])
        return Tensor(name, shape)

    def axis(self, tensor: Tensor, keras_axis: int) -> int:
        """Our axis for one of Keras', both counted with the batch."""
        axis = keras_axis % (len(tensor.shape) + 1)
        return (0, 2, 3, 1)[axis] if tensor.is_image else axis
