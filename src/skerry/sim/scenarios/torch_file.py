"""A torch state dict in the legacy (non-zip) format, read with numpy: no torch, and no code from the file."""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skerry.errors import InvalidInput

# torch.serialization: the first two pickles of a legacy file.
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8", "DoubleStorage": "<f8", "IntStorage": "<i4"}


@dataclass(frozen=True, slots=True)
class _View:
    """A tensor as torch pickles it: a strided view of a storage."""

    storage: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def _rebuild(storage: str, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> _View:
    return _View(storage, offset, tuple(size), tuple(stride))


class _Restricted(pickle.Unpickler):
    """Admits the three names a state dict needs; any other is refused, so nothing in the file can run."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.storages: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(f"refused {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        kind, dtype, key = pid[:3]
        if kind != "storage":
            raise pickle.UnpicklingError(f"refused a persistent {kind}")
        self.storages[key] = dtype
        return key


def read_state_dict(data: bytes) -> Mapping[str, NDArray[Any]]:
    """The tensors by name, contiguous; InvalidInput when ``data`` is something else or truncated."""
    file = io.BytesIO(data)
    try:
        if (_Restricted(file).load(), _Restricted(file).load()) != (_MAGIC, _PROTOCOL):
            raise InvalidInput("not a legacy torch file")
        _Restricted(file).load()  # sizes of C types, of no use here
        reader = _Restricted(file)
        views = reader.load()
        order = _Restricted(file).load()
        storages = {key: _storage(file, reader.storages[key]) for key in order}
        return {name: _tensor(view, storages[view.storage]) for name, view in views.items()}
    except (pickle.UnpicklingError, EOFError, struct.error, ValueError, KeyError, AttributeError) as exc:
        raise InvalidInput(f"the torch file cannot be read: {exc}") from exc


def _storage(file: io.BytesIO, kind: str) -> NDArray[Any]:
    (count,) = struct.unpack("<q", file.read(8))
    dtype = np.dtype(_DTYPES[kind])
    return np.frombuffer(file.read(count * dtype.itemsize), dtype, count)


def _tensor(view: _View, storage: NDArray[Any]) -> NDArray[Any]:
    base = storage[view.offset :]
    reach = 1 + sum((side - 1) * step for side, step in zip(view.size, view.stride, strict=True))
    if reach > base.size:
        raise InvalidInput(f"a tensor of shape {view.size} reaches past its storage")
    strides = [step * storage.itemsize for step in view.stride]
    return np.array(np.lib.stride_tricks.as_strided(base, view.size, strides), order="C")
