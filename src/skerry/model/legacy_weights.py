"""Where the weights of a legacy ``.h5`` file belong: it keeps them per top layer, in Keras' own order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Json = Any
F32 = NDArray[np.float32]
_MODELS = ("Functional", "Sequential")
_KERNEL_AND_BIAS = ("Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "Dense")
_SCALE_AND_CENTRE = ("BatchNormalization", "LayerNormalization", "GroupNormalization")


def place_weights(
    model: Mapping[str, Json], by_layer: Mapping[str, Sequence[F32]]
) -> tuple[dict[str, tuple[F32, ...]], dict[str, str]]:
    """Arrays and layer names by group path, as ``WeightStore`` wants them.

    ValueError when a nested model's arrays are not as many as its layers need.
    """
    placing = _Placing()
    for i, layer in enumerate(model["config"]["layers"]):
        name, group = str(layer["config"].get("name", "")), f"layers/{i}"
        placing.names[group] = name
        arrays = tuple(by_layer.get(name, ()))
        if layer["class_name"] in _MODELS:
            placing.nested(layer, group, arrays)
        else:
            placing.arrays[group] = arrays
    return placing.arrays, placing.names


@dataclass
class _Placing:
    arrays: dict[str, tuple[F32, ...]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def nested(self, model: Mapping[str, Json], group: str, arrays: Sequence[F32]) -> None:
        """Give out the arrays of a nested model: first what trains, layer by layer, then all the rest."""
        leaves = self._leaves(model, group)
        trained = [leaf for leaf, count, _ in leaves for _ in range(count)]
        fixed = [leaf for leaf, _, count in leaves for _ in range(count)]
        order = [*trained, *fixed]
        if len(order) != len(arrays):
            name = model["config"].get("name")
            raise ValueError(f"the layers of {name!r} need {len(order)} arrays, the file has {len(arrays)}")
        given: dict[str, list[F32]] = {leaf: [] for leaf, _, _ in leaves}
        for leaf, array in zip(order, arrays, strict=True):
            given[leaf].append(array)
        self.arrays.update({leaf: tuple(found) for leaf, found in given.items()})

    def _leaves(self, model: Mapping[str, Json], group: str) -> list[tuple[str, int, int]]:
        """(group, arrays that train, arrays that do not) of every layer inside, in Keras' order."""
        found = []
        for i, layer in enumerate(model["config"]["layers"]):
            inner = f"{group}/layers/{i}"
            self.names[inner] = str(layer["config"].get("name", ""))
            if layer["class_name"] in _MODELS:
                found.extend(self._leaves(layer, inner))
                continue
            trained, fixed = counts(layer)
            # A frozen layer's arrays are all among the rest, in their natural order.
            frozen = not layer["config"].get("trainable", True)
            found.append((inner, 0, trained + fixed) if frozen else (inner, trained, fixed))
        return found


def counts(layer: Mapping[str, Json]) -> tuple[int, int]:
    """How many arrays a layer has that train, and that do not."""
    kind, config = str(layer["class_name"]), layer["config"]
    bias = int(bool(config.get("use_bias", True)))
    if kind in _KERNEL_AND_BIAS:
        return 1 + bias, 0
    if kind == "SeparableConv2D":
        return 2 + bias, 0
    if kind in _SCALE_AND_CENTRE:
        both = int(bool(config.get("scale", True))) + int(bool(config.get("center", True)))
        return both, 2 if kind == "BatchNormalization" else 0
    if kind == "Normalization":
        return 0, 0 if config.get("mean") is not None else 3
    return int(kind in ("PReLU", "LayerScale")), 0
