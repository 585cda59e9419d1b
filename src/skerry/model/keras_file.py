"""A saved Keras model, read as data: nothing in it is executed, Keras is not imported."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from skerry.errors import InvalidInput, NotFound, TooLarge
from skerry.model.keras2 import modernised
from skerry.model.legacy_weights import place_weights

Json = Any
F32 = NDArray[np.float32]
# The largest network of keras.applications (EfficientNetV2L, VGG19) has under 0.6 GB of weights; optimizer
# state triples it. A zip that claims more is a mistake or an attack.
MEMBER_BYTES_MAX = 4 << 30
_WHOLE_HINT = "copy or save it again, whole"
HDF5_MAGIC = b"\x89HDF"
_HINT = "save it with Keras 3: model.save('model.keras')"


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """What a file holds: the config document in Keras 3's shape, the Keras version, the weights by path."""

    config: Mapping[str, Json]
    keras_version: str
    weights: WeightStore


@dataclass(frozen=True, slots=True, eq=False)
class WeightStore:
    """The arrays as ``model.weights.h5`` has them: per group path its ``vars`` and the layer's name."""

    arrays: Mapping[str, tuple[F32, ...]]
    names: Mapping[str, str]

    def find(self, container: str, layer: str, fallback: str) -> str:
        """The group of the layer called ``layer`` inside ``container``.

        Keras >= 3.6 writes the name beside the group; older files are read by ``fallback``, the
        class name in snake case with a counter.
        """
        prefix = f"{container}/layers/" if container else "layers/"
        for group, name in self.names.items():
            if name == layer and group.startswith(prefix) and "/" not in group[len(prefix) :]:
                return group
        return prefix + fallback


def read_saved(path: Path, weights: Path | None = None) -> Saved:
    """The model saved at ``path``: ``.keras``, full ``.h5``, or JSON with ``weights`` in a file of their own.

    NotFound when there is none, InvalidInput when it is something else or truncated.
    """
    if not path.is_file():
        raise NotFound(f"no model file {path}", path=str(path))
    with path.open("rb") as file:
        start = file.read(8).lstrip()
    if weights is None and start.startswith(HDF5_MAGIC):
        with opened(path.read_bytes(), path) as full:
            return legacy_saved(full, path)
    if start.startswith(b"{"):
        return _with_weights(parsed(path.read_bytes(), path.name, path), "", path, weights)
    try:
        with zipfile.ZipFile(path) as archive:
            return _saved(archive, path, weights)
    except zipfile.BadZipFile as exc:
        raise _no_model(path) from exc


def _saved(archive: zipfile.ZipFile, path: Path, weights: Path | None) -> Saved:
    config = parsed(_member(archive, "config.json", path), "config.json", path)
    metadata = parsed(_member(archive, "metadata.json", path), "metadata.json", path)
    version = str(metadata.get("keras_version", ""))
    if weights is not None:
        return _with_weights(config, version, path, weights)
    with opened(_member(archive, "model.weights.h5", path), path) as file:
        return Saved(_modern(config, version, path), version, _weights(file, path))


def _with_weights(config: Mapping[str, Json], version: str, path: Path, weights: Path | None) -> Saved:
    """An architecture with weights of its own: Keras 3's ``.weights.h5``, or the older ``.h5`` by layer."""
    if "class_name" not in config:
        raise InvalidInput(f"{path.name} is JSON, but no Keras model", path=str(path))
    if weights is None:
        raise InvalidInput(
            f"{path.name} holds the architecture alone", hint="name its weights too: --weights model.h5"
        )
    if not weights.is_file():
        raise NotFound(f"no weights file {weights}", path=str(weights))
    version = version or str(config.get("keras_version") or _likely_version(config))
    modern = _modern(config, version, path)
    with opened(weights.read_bytes(), weights) as file:
        if "layers" in file and "layer_names" not in file.attrs:
            return Saved(modern, version, _weights(file, weights))
        return Saved(modern, version, placed(modern, file, weights))


def _likely_version(config: Mapping[str, Json]) -> str:
    """Keras 3 writes no version into its JSON, Keras 2 always does; old Keras 2 names no modules either."""
    return "3" if "module" in config else "2"


def legacy_saved(file: Any, path: Path) -> Saved:
    """A full ``.h5`` model, of Keras 2 or 3: the config is an attribute, the weights lie by top layer."""
    if "model_config" not in file.attrs:
        raise InvalidInput(
            f"{path.name} holds weights alone, not a model",
            hint="give the architecture: --model-from arch.py:build, or its JSON with --weights",
            path=str(path),
        )
    version = _text(file.attrs.get("keras_version", "2"))
    config = parsed(_text(file.attrs["model_config"]).encode(), "model_config", path)
    modern = _modern(config, version, path)
    return Saved(modern, version, placed(modern, file["model_weights"], path))


def _modern(config: Mapping[str, Json], version: str, path: Path) -> Mapping[str, Json]:
    if version.startswith("3"):
        return config
    try:
        return modernised(config)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as exc:
        raise InvalidInput(
            f"the config in {path.name} does not describe a Keras 2 model: {exc!r}", path=str(path)
        ) from exc


def placed(model: Mapping[str, Json], file: Any, path: Path) -> WeightStore:
    """The weights of a legacy file, brought to where the layers of ``model`` look for them."""
    by_layer: dict[str, list[F32]] = {}
    try:
        for name in _names(file, "layer_names"):
            group = file[name]
            by_layer[name] = [np.asarray(group[n][()], np.float32) for n in _names(group, "weight_names")]
        return WeightStore(*place_weights(model, by_layer))
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as exc:
        raise InvalidInput(
            f"the weights in {path.name} cannot be read: {exc}", hint=_WHOLE_HINT, path=str(path)
        ) from exc


def _names(group: Any, key: str) -> list[str]:
    """A list among the attributes; Keras cuts one that is over HDF5's 64 KB into parts with numbers."""
    parts = [key] if key in group.attrs else []
    while f"{key}{len(parts)}" in group.attrs:
        parts.append(f"{key}{len(parts)}")
    return [_text(name) for part in parts for name in group.attrs[part]]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _no_model(path: Path) -> InvalidInput:
    if path.read_bytes()[:8].startswith(b"PK"):
        return InvalidInput(
            f"{path.name} is a truncated or damaged .keras file", hint=_WHOLE_HINT, path=str(path)
        )
    return InvalidInput(f"{path.name} is no Keras model file", hint=_HINT, path=str(path))


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    try:
        info = archive.getinfo(name)
    except KeyError as exc:
        raise InvalidInput(
            f"{path.name} has no {name}: it is not a .keras file", hint=_HINT, path=str(path)
        ) from exc
    if info.file_size > MEMBER_BYTES_MAX:
        raise TooLarge(f"{name} in {path.name} is over {MEMBER_BYTES_MAX} bytes", path=str(path))
    return archive.read(info)


def parsed(data: bytes, name: str, path: Path) -> Mapping[str, Json]:
    """The JSON object in ``data``."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise InvalidInput(f"{name} in {path.name} is not JSON: {exc}", path=str(path)) from exc
    if not isinstance(document, dict):
        raise InvalidInput(f"{name} in {path.name} is not an object", path=str(path))
    return document


@contextmanager
def opened(data: bytes, path: Path) -> Iterator[Any]:
    """An HDF5 file in memory."""
    try:
        file = h5py.File(io.BytesIO(data), "r")
    except (OSError, RuntimeError) as exc:
        raise InvalidInput(
            f"the weights in {path.name} cannot be read: {exc}", hint=_WHOLE_HINT, path=str(path)
        ) from exc
    with file:
        yield file


def _weights(file: Any, path: Path) -> WeightStore:
    arrays: dict[str, tuple[F32, ...]] = {}
    names: dict[str, str] = {}

    def visit(key: str, item: object) -> None:
        if isinstance(item, h5py.Group) and key.endswith("/vars"):
            # Keras 2.12 called the container so.
            group = key.removesuffix("/vars").replace("_layer_checkpoint_dependencies", "layers")
            arrays[group] = tuple(np.asarray(item[str(i)][()], np.float32) for i in range(len(item)))
            if "name" in item.attrs:
                names[group] = str(item.attrs["name"])

    try:
        file.visititems(visit)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as exc:
        raise InvalidInput(
            f"the weights in {path.name} cannot be read: {exc}", hint=_WHOLE_HINT, path=str(path)
        ) from exc
    return WeightStore(arrays, names)
