"""Small files written so that a crash leaves the old content or the new, never half."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

from skerry.errors import NotAllowed, NotFound, StorageFull, Unavailable

PRIVATE = 0o600
PUBLIC = 0o644
# Group and everybody else.
OTHERS = 0o077

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_atomic(path: Path, data: bytes, *, mode: int = PUBLIC) -> None:
    """Replace ``path`` durably; nobody sees it with wider rights than ``mode``. Blocks for an fsync.

    Raises StorageFull, Unavailable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, data, mode)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StorageFull(f"no room to write {path}", hint="free space on that disk") from error
        raise Unavailable(
            f"cannot write {path}: {error.strerror}",
            hint="check owner and mode of the folder",
            path=str(path),
        ) from error


def read_private(path: Path) -> bytes:
    """A secret, refused when others may read it: then it is none any more.

    Raises NotFound, NotAllowed, Unavailable.
    """
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & OTHERS:
                raise NotAllowed(f"others may read {path}", hint=f"chmod 600 {path}", path=str(path))
            return file.read()
    except FileNotFoundError as error:
        raise NotFound(f"there is no {path}", path=str(path)) from error
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}", path=str(path)) from error


def _write(path: Path, data: bytes, mode: int) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # created 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
