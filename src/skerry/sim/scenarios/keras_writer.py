"""A genuine Keras 3 ``.keras`` file, written without Keras: config, metadata, weights in its layout."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

# The version whose layout we write; real Keras loads the file and a test proves it.
KERAS_VERSION = "3.15.1"
# Zip times are local and would make equal models differ; this is the earliest a zip can hold.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_METADATA = {"keras_version": KERAS_VERSION, "date_saved": "1980-01-01@00:00:00"}


@dataclass(frozen=True, slots=True)
class Output:
    """A layer's output while a model is being described; ``shape`` has the batch (None) first."""

    layer: str
    shape: tuple[int | None, ...]


@dataclass
class KerasModelWriter:
    """Describes a functional model layer by layer, then saves it."""

    name: str
    layers: list[dict[str, Any]] = field(default_factory=list)
    weights: list[tuple[str, str, Sequence[NDArray[np.float32]]]] = field(default_factory=list)

    def input(self, name: str, shape: tuple[int, int, int]) -> Output:
        config = {"batch_shape": [None, *shape], "dtype": "float32", "sparse": False, "ragged": False}
        self._append("InputLayer", name, config, [], ())
        return Output(name, (None, *shape))

    def layer(
        self,
        kind: str,
        name: str,
        inputs: Sequence[Output],
        shape: tuple[int | None, ...],
        config: Mapping[str, Any] | None = None,
        weights: Sequence[NDArray[np.float32]] = (),
    ) -> Output:
        """Append a Keras layer of class ``kind`` that gives ``shape``."""
        tensors = [_tensor(source) for source in inputs]
        call: dict[str, Any] = {"args": tensors if len(tensors) == 1 else [tensors], "kwargs": {}}
        self._append(kind, name, {"trainable": True, "dtype": "float32", **(config or {})}, [call], weights)
        return Output(name, shape)

    def save(self, path: Path, output: Output) -> None:
        """Write the file; same model, same bytes."""
        config = {
            "module": "keras.src.models.functional",
            "class_name": "Functional",
            "config": {
                "name": self.name,
                "trainable": True,
                "layers": self.layers,
                "input_layers": [self.layers[0]["name"], 0, 0],
                "output_layers": [output.layer, 0, 0],
            },
            "registered_name": "Functional",
            "build_config": {"input_shape": None},
        }
        members = {
            "metadata.json": json.dumps(_METADATA).encode(),
            "config.json": json.dumps(config).encode(),
            "model.weights.h5": self._weights(),
        }
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)

    def _append(
        self,
        kind: str,
        name: str,
        config: Mapping[str, Any],
        calls: list[dict[str, Any]],
        weights: Sequence[NDArray[np.float32]],
    ) -> None:
        self.layers.append(
            {
                "module": "keras.layers",
                "class_name": kind,
                "config": {"name": name, **config},
                "registered_name": None,
                "name": name,
                "inbound_nodes": calls,
            }
        )
        self.weights.append((kind, name, weights))

    def _weights(self) -> bytes:
        buffer = io.BytesIO()
        counts: dict[str, int] = {}
        with h5py.File(buffer, "w") as file:
            file.create_group("vars").attrs["name"] = self.name
            for kind, name, arrays in self.weights:
                # Keras finds a layer's weights by its class and its place among layers of that class.
                snake = _snake_case(kind)
                count = counts[snake] = counts.get(snake, -1) + 1
                group = file.create_group(f"layers/{snake}_{count}/vars" if count else f"layers/{snake}/vars")
                group.attrs["name"] = name
                for i, array in enumerate(arrays):
                    group.create_dataset(str(i), data=np.ascontiguousarray(array, np.float32))
        return buffer.getvalue()


def _tensor(source: Output) -> dict[str, Any]:
    return {
        "class_name": "__keras_tensor__",
        "config": {
            "shape": list(source.shape),
            "dtype": "float32",
            "keras_history": [source.layer, 0, 0],
        },
    }


def _snake_case(name: str) -> str:
    """Keras' own rule (keras.src.utils.naming)."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
