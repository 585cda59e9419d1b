"""What SQLite and the file system say went wrong, in our words."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from skerry.errors import Damaged, SkerryError, StorageFull, Unavailable

FULL_HINT = "free space on the disk that holds it; writing works again as soon as there is room"
DAMAGED_HINT = "move the file away and start again, or put back a copy of it"

# EFBIG is what a process gets at its file size limit (RLIMIT_FSIZE), EDQUOT at its quota.
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

# Reads that fail are damage; every other I/O error of SQLite's happens while it writes or syncs.
READ_FAILURES = {
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
}


def is_translated(error: BaseException) -> bool:
    """Whether this is SQLite telling about the file or the disk rather than about the statement."""
    return isinstance(error, sqlite3.Error) and _named(error, Path()) is not None


def translate(error: sqlite3.Error, path: Path) -> Exception:
    """The error of ours for SQLite's, or SQLite's own when it is about the statement."""
    named = _named(error, path)
    if named is None:
        return error
    named.__cause__ = error
    return named


def translate_os(error: OSError, path: Path) -> SkerryError:
    """The error of ours for one of the operating system's while working on ``path``."""
    named: SkerryError
    if error.errno in NO_ROOM:
        named = StorageFull(f"no room to write {path}", hint=FULL_HINT, path=str(path))
    else:
        named = Unavailable(
            f"cannot use {path}: {error.strerror}", hint="check owner and mode of the folder", path=str(path)
        )
    named.__cause__ = error
    return named


def _named(error: sqlite3.Error, path: Path) -> SkerryError | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    primary = code & 0xFF
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or code in READ_FAILURES:
        return Damaged(f"{path} is damaged: {error}", hint=DAMAGED_HINT, path=str(path))
    if primary in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return StorageFull(f"no room to write {path}: {error}", hint=FULL_HINT, path=str(path))
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable(
            f"{path} is locked by another process", hint="stop the other process", path=str(path)
        )
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return Unavailable(
            f"cannot open {path} for writing: {error}",
            hint="check owner and mode of the folder",
            path=str(path),
        )
    return None
