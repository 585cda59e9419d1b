"""The patch from one package to another: only worth having where it is smaller than the files."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from skerry.errors import Damaged, InvalidInput
from skerry.model.room import room_for
from skerry.oci.files import whole_directory, whole_file
from skerry.oci.layer import File, write_tar
from skerry.package.document import canonical_json
from skerry.package.manifest import MANIFEST, Package
from skerry.package.patch import (
    DELTAS,
    FILTERS,
    MAGIC,
    PATCH,
    SCHEMA,
    apply_delta,
    complete,
    is_patch,
    planes,
)
from skerry.package.signature import SIGNATURE

# A tensor below it is not worth a step of its own.
TENSOR_BYTES_MIN = 1024
# Less saved than a tenth is not worth that the device has to have the old package.
WORTH = 0.9
# The largest package that a patch may make here: four ResNet152.
BYTES_MAX = 1 << 30


@dataclass(frozen=True, slots=True)
class Change:
    """One file of the new package: ``same``, ``delta`` or ``new``, its bytes, and those in the patch."""

    name: str
    how: str
    size: int
    sent: int


@dataclass(frozen=True, slots=True, eq=False)
class Diff:
    """``patch`` is the archive; ``whole`` the bytes of the new package's files, as well packed as we can."""

    old: str
    new: str
    changes: tuple[Change, ...]
    patch: bytes
    whole: int

    @property
    def is_smaller(self) -> bool:
        """Whether the patch is worth sending instead of the package."""
        return len(self.patch) <= WORTH * self.whole


def diff(old: Package, new: Package) -> Diff:
    """The patch, applied once here and proven to give ``new`` to the byte."""
    digests = {_sha256(path): name for name, path in _files(old)}
    changes, order, entries, parts = list[Change](), list[str](), dict[str, object](), dict[str, bytes]()
    whole = 0
    for name, path in _files(new):
        data = path.read_bytes()
        packed = len(lzma.compress(data, filters=FILTERS))
        whole += min(packed, len(data))
        found = digests.get(_sha256(path))
        if found is not None:
            entries[name] = {"how": "same", "of": found}
            order.append(name)
            changes.append(Change(name, "same", len(data), 0))
            continue
        base = old.directory / name
        change = delta(base.read_bytes(), data) if base.is_file() else data
        if len(change) >= len(data):
            parts[name] = data
            changes.append(Change(name, "new", len(data), len(data)))
            continue
        place = f"{DELTAS}/{len(order):03}"
        entries[name], parts[place] = {"how": "delta", "of": name, "delta": place}, change
        order.append(name)
        changes.append(Change(name, "delta", len(data), len(change)))
    beside = [MANIFEST, *([SIGNATURE] if (new.directory / SIGNATURE).is_file() else [])]
    parts |= {name: (new.directory / name).read_bytes() for name in beside}
    document = {"schema": SCHEMA, "from": old.digest, "to": new.digest, "order": order, "files": entries}
    parts[PATCH] = canonical_json(document)
    archive = io.BytesIO()
    write_tar([File(name, data) for name, data in sorted(parts.items())], archive)
    patch = gzip.compress(archive.getvalue(), mtime=0)
    with tempfile.TemporaryDirectory(prefix="skerry-patch-") as scratch:
        made = patched(old, patch, Path(scratch, "package"))
        if made.digest != new.digest:
            raise Damaged(f"the patch gives {made.digest}, not {new.digest}")
    return Diff(old.digest, new.digest, tuple(changes), patch, whole)


def write_patch(found: Diff, path: Path) -> None:
    """Write the archive, all of it or nothing."""
    with room_for(path), whole_file(path) as fresh:
        fresh.write(found.patch)


def patched(old: Package, patch: bytes, target: Path, *, bytes_max: int = BYTES_MAX) -> Package:
    """The package that the patch makes of ``old``, in the new folder ``target``, every file checked.

    Damaged, InvalidInput or TooLarge for a patch that is broken or for another package; nothing is left then.
    """
    with room_for(target), whole_directory(target) as work:
        try:
            with tarfile.open(fileobj=io.BytesIO(patch), mode="r:gz") as tar:
                tar.extractall(work, filter="data")
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as exc:
            raise Damaged(f"the patch cannot be read: {exc}") from exc
        if not is_patch(work):
            raise InvalidInput(f"the archive is no patch: it has no {PATCH}")
        complete(work, old.directory, bytes_max=bytes_max)
        Package.open(work)
    return Package.open(target)


def delta(old: bytes, new: bytes) -> bytes:
    """What makes ``new`` of ``old``: equal parts are copied, tensors of equal size told apart bit by bit."""
    steps, inserted = list[list[object]](), list[bytes]()
    for step, data in _steps(old, new):
        if steps and step[0] == steps[-1][0] == "insert":
            steps[-1][1] = int(str(steps[-1][1])) + int(str(step[1]))
        else:
            steps.append(step)
        inserted.append(data)
    listed = json.dumps(steps, separators=(",", ":")).encode()
    packed = lzma.compress(b"".join(inserted), filters=FILTERS)
    made = MAGIC + len(listed).to_bytes(4, "little") + listed + packed
    if apply_delta(old, made, bytes_max=len(new)) != new:
        raise Damaged("the delta does not give the new file")
    return made


def _steps(old: bytes, new: bytes) -> Iterator[tuple[list[object], bytes]]:
    known = {name: (offset, length) for name, offset, length, _ in _tensors(old)}
    place = 0
    for name, offset, length, width in _tensors(new):
        if known.get(name, (0, 0))[1] != length or offset < place:
            continue
        if offset > place:
            yield ["insert", offset - place], new[place:offset]
        yield _changed(old, new, known[name][0], offset, length, width)
        place = offset + length
    if place == 0 and len(old) == len(new):
        yield _changed(old, new, 0, 0, len(new), 1)
    elif place < len(new):
        yield ["insert", len(new) - place], new[place:]


def _changed(
    old: bytes, new: bytes, before: int, after: int, length: int, width: int
) -> tuple[list[object], bytes]:
    was, now = old[before : before + length], new[after : after + length]
    if was == now:
        return ["copy", before, length], b""
    change = np.frombuffer(was, np.uint8) ^ np.frombuffer(now, np.uint8)
    return ["xor", before, length, width], planes(change, width).tobytes()


def _tensors(model: bytes) -> list[tuple[str, int, int, int]]:
    """Name, place, length and bytes per number of each large constant in an ONNX file, else none."""
    try:
        graph = onnx.load_from_string(model).graph
    except (DecodeError, ValueError, TypeError):
        return []
    found, place = list[tuple[str, int, int, int]](), 0
    for tensor in graph.initializer:
        raw = tensor.raw_data
        if len(raw) < TENSOR_BYTES_MIN:
            continue
        place = model.find(raw, place)
        if place < 0:
            return []
        size = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        found.append((tensor.name, place, len(raw), size if size in (1, 2, 4) else 1))
        place += len(raw)
    return found


def _files(package: Package) -> list[tuple[str, Path]]:
    order = package.manifest["order"]
    names = [str(name) for name in order] if isinstance(order, list) else []
    return [(name, package.directory / name) for name in names]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
