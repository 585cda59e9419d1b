"""A Keras 3 ``.keras`` file, read as data: nothing in it is executed, Keras is not imported."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from skerry.errors import InvalidInput, NotFound, TooLarge, Unsupported

Json = Any
F32 = NDArray[np.float32]
# The largest network of keras.applications (EfficientNetV2L, VGG19) has under 0.6 GB of weights; optimizer
# state triples it. A zip that claims more is a mistake or an attack.
MEMBER_BYTES_MAX = 4 << 30
_WHOLE_HINT = "copy or save it again, whole"
_HINT = "save it with Keras 3: model.save('model.keras')"


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """What a ``.keras`` file holds: the config document, the Keras version, the weights by group path."""

    config: Mapping[str, Json]
    keras_version: str
    weights: WeightStore


@dataclass(frozen=True, slots=True, eq=False)
class WeightStore:
    """The arrays of ``model.weights.h5``: per group path its ``vars`` and the layer's name."""

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


def read_saved(path: Path) -> Saved:
    """The contents of the ``.keras`` file at ``path``.

    NotFound when there is none, InvalidInput when it is something else or truncated, Unsupported for
    Keras 2 files, naming what it is.
    """
    if not path.is_file():
        raise NotFound(f"no model file {path}", path=str(path))
    try:
        with zipfile.ZipFile(path) as archive:
            return _saved(archive, path)
    except zipfile.BadZipFile as exc:
        raise _no_model(path) from exc


def _saved(archive: zipfile.ZipFile, path: Path) -> Saved:
    config = _document(archive, "config.json", path)
    metadata = _document(archive, "metadata.json", path)
    version = str(metadata.get("keras_version", ""))
    if not version.startswith("3"):
        raise Unsupported(
            f"{path.name} was saved by Keras {version or 'of an unknown version'}, which is not Keras 3",
            hint="load it with tf_keras, copy the weights to a Keras 3 model and save that",
            path=str(path),
        )
    return Saved(config, version, _weights(_member(archive, "model.weights.h5", path), path))


def _no_model(path: Path) -> InvalidInput:
    start = path.read_bytes()[:8]
    if start.startswith(b"\x89HDF"):
        return InvalidInput(f"{path.name} is an HDF5 file, not a .keras file", hint=_HINT, path=str(path))
    if start.startswith(b"PK"):
        return InvalidInput(
            f"{path.name} is a truncated or damaged .keras file", hint=_WHOLE_HINT, path=str(path)
        )
    return InvalidInput(f"{path.name} is not a .keras file", hint=_HINT, path=str(path))


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


def _document(archive: zipfile.ZipFile, name: str, path: Path) -> Mapping[str, Json]:
    try:
        document = json.loads(_member(archive, name, path))
    except (ValueError, RecursionError) as exc:
        raise InvalidInput(f"{name} in {path.name} is not JSON: {exc}", path=str(path)) from exc
    if not isinstance(document, dict):
        raise InvalidInput(f"{name} in {path.name} is not an object", path=str(path))
    return document


def _weights(data: bytes, path: Path) -> WeightStore:
    arrays: dict[str, tuple[F32, ...]] = {}
    names: dict[str, str] = {}

    def visit(key: str, item: object) -> None:
        if isinstance(item, h5py.Group) and key.endswith("/vars"):
            group = key.removesuffix("/vars")
            arrays[group] = tuple(np.asarray(item[str(i)][()], np.float32) for i in range(len(item)))
            if "name" in item.attrs:
                names[group] = str(item.attrs["name"])

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            file.visititems(visit)
    except (OSError, KeyError, ValueError, RuntimeError) as exc:
        raise InvalidInput(
            f"the weights in {path.name} cannot be read: {exc}", hint=_WHOLE_HINT, path=str(path)
        ) from exc
    return WeightStore(arrays, names)
