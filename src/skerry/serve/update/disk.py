"""Files that are wholly there after a power cut, or not at all."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skerry.errors import Damaged, SkerryError, StorageFull, Unavailable

log = logging.getLogger(__name__)

# What readers of foreign files raise for content that they do not expect.
UNFORESEEN = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: Path, data: bytes) -> None:
    """Replace the file: after a cut at any point it has its old content or ``data``."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(beside, path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(root: Path) -> None:
    """Make every file below ``root``, and every name, durable."""
    for folder, _, names in os.walk(root):
        for name in names:
            with Path(folder, name).open("rb") as stream:
                os.fsync(stream.fileno())
        sync_folder(Path(folder))


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """The disk's refusals as ours: StorageFull, or Unavailable with the reason."""
    try:
        yield
    except OSError as exc:
        raise disk_error(doing, exc) from exc


@contextmanager
def foreseen(what: str) -> Iterator[None]:
    """Have what nobody thought of refuse ``what`` with Damaged instead of ending the module."""
    try:
        yield
    except UNFORESEEN as exc:
        log.exception("unforeseen")
        raise Damaged(f"{what} cannot be used: {type(exc).__name__}: {exc}") from exc


def disk_error(doing: str, exc: OSError) -> SkerryError:
    """The error to raise for ``exc``."""
    if exc.errno in FULL:
        return StorageFull(f"no room on the disk for {doing}", hint="free some space on the module's volume")
    return Unavailable(f"{doing}: {exc.strerror or exc}")
