"""Whether an image fits on the disk, with numbers, before it is fetched."""

from __future__ import annotations

import os
from pathlib import Path

from skerry.errors import StorageFull

# What has to stay free: the runtime's own stores, the logs and the system go on writing.
RESERVE_BYTES = 64 * 1024 * 1024
# Layers that are compressed in other ways than gzip do not tell their size; images shrink to about a third.
GROWTH = 3
GZIP_MAGIC = b"\x1f\x8b"
GIB = 1024**3
MIB = 1024**2


def plain_bytes(blob: Path) -> int:
    """About how many bytes a layer has once it is unpacked."""
    size = blob.stat().st_size if blob.exists() else 0
    if size < 18:
        return size
    with blob.open("rb") as file:
        magic = file.read(2)
        file.seek(-4, os.SEEK_END)
        # RFC 1952 section 2.3.1: the size modulo 2^32, at the end.
        stated = int.from_bytes(file.read(4), "little")
    if magic != GZIP_MAGIC:
        return size if magic != b"\x28\xb5" else size * GROWTH
    return stated if stated >= size else size * GROWTH


def free_bytes(folder: Path) -> int:
    """Bytes that an ordinary user may still write at ``folder`` or its nearest parent that exists."""
    while not folder.exists():
        folder = folder.parent
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def check_room(image: str, needed: int, folder: Path) -> None:
    """StorageFull, with the numbers, when ``needed`` bytes do not fit at ``folder``."""
    free = free_bytes(folder)
    if needed + RESERVE_BYTES > free:
        raise StorageFull(
            f"image {image} needs {size(needed)} and {size(RESERVE_BYTES)} to spare;"
            f" {size(free)} are free at {folder}",
            hint="free disk space, or make the image smaller",
            image=image,
            needed_bytes=needed,
            free_bytes=free,
        )


def size(count: int) -> str:
    """``1.5 GiB``, ``20 MiB``, ``900 bytes``."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"
