"""A full disk, named."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skerry.errors import StorageFull

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """StorageFull instead of the system's error when writing ``path`` finds no room."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in _NO_ROOM:
            raise
        raise StorageFull(
            f"no room to write {path}; nothing was left behind",
            hint="free space there, or name a folder on another disk",
            path=str(path),
        ) from exc
