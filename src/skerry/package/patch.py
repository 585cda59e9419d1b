"""A patch: what a package needs beside another one, which the receiver has.

A folder like a package's, with its new manifest, the files that are new, and ``patch.json``, which says
where the rest comes from: ``same`` is a file of the old package, ``delta`` is made from one and
``deltas/NNN``.

A delta is ``SKD1``, the length of a list of steps (4 bytes, little endian), the steps as JSON, and what they
insert, as one LZMA stream. Steps: ``["copy", offset, length]`` of the old file; ``["insert", length]``;
``["xor", offset, length, width]``: the old bytes with as many inserted ones, which lie in ``width`` planes.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skerry.errors import Damaged, InvalidInput, TooLarge
from skerry.package.document import Reader, parse_json

PATCH, MANIFEST, DELTAS = "patch.json", "manifest.json", "deltas"
SCHEMA = "skerry.patch/1"
MAGIC = b"SKD1"
# Unpacking takes the dictionary's size in memory: 8 MB, which lzma's preset 6 has too.
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6}]
# Some thousand tensors, each with a step before and behind it.
STEPS_BYTES_MAX = 4 << 20
WIDTHS = (1, 2, 4)

Bytes = NDArray[np.uint8]
Step = Sequence[Any]


def is_patch(folder: Path) -> bool:
    """Whether the folder holds a patch."""
    return (folder / PATCH).is_file()


def base_of(folder: Path) -> str:
    """The digest of the package that the patch is for; InvalidInput when it is no patch of ours."""
    return _document(folder).text("from")


def package_digest(folder: Path) -> str:
    """The digest of the package in the folder, nothing else of it checked; empty without one."""
    path = folder / MANIFEST
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def complete(folder: Path, base: Path, *, bytes_max: int) -> None:
    """Make the patch in ``folder`` a package, from the package in ``base``; who opens it checks every file.

    Damaged when ``base`` is another package or a delta does not fit, TooLarge above ``bytes_max`` written.
    """
    document = _document(folder)
    if package_digest(base) != document.text("from"):
        raise Damaged(f"the patch is for {document.text('from')}, not for what is here")
    left = bytes_max
    files = document.child("files")
    for i, name in enumerate(document.items("order")):
        target, entry = folder / _inside(name), files.child(str(name))
        source = base / _inside(entry.text("of", str(name)))
        if not source.is_file():
            raise Damaged(f"the package here lacks {entry.text('of', str(name))}", path=str(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.choice("how", ("same", "delta")) == "same":
            left -= source.stat().st_size
            _room(left, bytes_max)
            shutil.copyfile(source, target)
        else:
            delta = folder / _inside(entry.text("delta", f"{DELTAS}/{i:03}"))
            made = apply_delta(source.read_bytes(), delta.read_bytes(), bytes_max=left)
            left -= len(made)
            target.write_bytes(made)
    (folder / PATCH).unlink()
    shutil.rmtree(folder / DELTAS, ignore_errors=True)


def apply_delta(old: bytes, delta: bytes, *, bytes_max: int) -> bytes:
    """The new file; Damaged when the delta is broken or not for ``old``, TooLarge above ``bytes_max``."""
    steps, rest = _read_steps(delta)
    total = sum(int(step[-1 if step[0] != "xor" else 2]) for step in steps)
    _room(bytes_max - total, bytes_max)
    inserted = _decompressed(rest, sum(_inserts(step) for step in steps))
    source, given = np.frombuffer(old, np.uint8), np.frombuffer(inserted, np.uint8)
    made, place, taken = np.empty(total, np.uint8), 0, 0
    for step in steps:
        match step:
            case ["insert", int(length)]:
                made[place : place + length] = given[taken : taken + length]
            case ["copy", int(offset), int(length)]:
                made[place : place + length] = _part(source, offset, length)
            case ["xor", int(offset), int(length), int(width)]:
                change = joined(given[taken : taken + length], width)
                made[place : place + length] = _part(source, offset, length) ^ change
        place += length
        taken += _inserts(step)
    return made.tobytes()


def planes(data: Bytes, width: int) -> Bytes:
    """All first bytes of numbers of ``width`` bytes, then all second ones: so alike bytes are together."""
    return np.ascontiguousarray(data.reshape(-1, width).T).reshape(-1)


def joined(data: Bytes, width: int) -> Bytes:
    """The reverse of ``planes``."""
    return np.ascontiguousarray(data.reshape(width, -1).T).reshape(-1)


def _read_steps(delta: bytes) -> tuple[list[list[Any]], bytes]:
    length = int.from_bytes(delta[4:8], "little")
    if delta[:4] != MAGIC or length > min(STEPS_BYTES_MAX, len(delta) - 8):
        raise Damaged("the delta is not one of ours, or cut off")
    try:
        steps = json.loads(delta[8 : 8 + length])
    except (ValueError, RecursionError) as exc:
        raise Damaged("the delta's steps cannot be read") from exc
    if not isinstance(steps, list) or not all(_is_step(step) for step in steps):
        raise Damaged("the delta has a step that is not known")
    return steps, delta[8 + length :]


def _is_step(step: object) -> bool:
    if not isinstance(step, list) or not step or not all(type(n) is int and n >= 0 for n in step[1:]):
        return False
    match step:
        case ["insert", _] | ["copy", _, _]:
            return True
        case ["xor", _, length, width]:
            return width in WIDTHS and length % width == 0
    return False


def _inserts(step: Step) -> int:
    return 0 if step[0] == "copy" else int(step[1 if step[0] == "insert" else 2])


def _decompressed(data: bytes, size: int) -> bytes:
    try:
        reader = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=64 << 20)
        made = reader.decompress(data, max_length=size + 1)
    except lzma.LZMAError as exc:
        raise Damaged(f"the delta cannot be unpacked: {exc}") from exc
    if len(made) != size:
        raise Damaged("the delta inserts another number of bytes than its steps say")
    return made


def _part(source: Bytes, offset: int, length: int) -> Bytes:
    if offset + length > len(source):
        raise Damaged("the delta is for another file: it reads behind the end")
    return source[offset : offset + length]


def _room(left: int, limit: int) -> None:
    if left < 0:
        raise TooLarge(f"the patch makes more than {limit} bytes", limit=limit)


def _inside(name: object) -> str:
    path = PurePosixPath(str(name))
    if not isinstance(name, str) or not name or path.is_absolute() or ".." in path.parts:
        raise InvalidInput("a patch's files lie inside it", path="order", value=name)
    return name


def _document(folder: Path) -> Reader:
    document = Reader(parse_json((folder / PATCH).read_bytes(), PATCH))
    document.choice("schema", (SCHEMA,))
    return document
