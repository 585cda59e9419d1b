"""An SQLite connection set up the way all of ours are."""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from skerry.errors import Unsupported
from skerry.store.faults import translate, translate_os

# Another process (a backup, a person with the sqlite3 tool) may hold a lock this long.
BUSY_TIMEOUT_MS = 5_000
# SQLite copies the WAL into the database after this many pages of 4 KiB: about 16 MB. A queue that is drained
# as it is filled writes the same pages again and again; the later they are copied, the fewer copies.
CHECKPOINT_PAGES = 4_000
# After a checkpoint a WAL that had grown beyond this is cut back to it.
WAL_BYTES_KEPT = 16 * 1024 * 1024


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode: transactions are begun explicitly. Raises Damaged, Unavailable."""
    try:
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise translate(error, path) from error
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL syncs the WAL at every commit: acknowledged means it survives power loss.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
        add_functions(connection)
        if read_only:
            connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        connection.close()
        raise translate(error, path) from error
    return connection


def add_functions(connection: sqlite3.Connection) -> None:
    """Give a connection the one function SQLite may lack: the remainder of doubles."""
    connection.create_function("skerry_fmod", 2, _fmod, deterministic=True)


def _fmod(left: float | None, right: float | None) -> float | None:
    if left is None or right is None or right == 0 or math.isinf(left):
        return None
    return math.fmod(left, right)


def create_file(path: Path) -> None:
    """Make sure the file is there, readable by its owner only: databases hold keys."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise translate_os(error, path) from error


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    """Bring the file to the newest of ``migrations``; each is a script and happens wholly or not at all.

    ``user_version`` counts those done. Raises Unsupported for a file of a newer Skerry.
    """
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(migrations):
            raise Unsupported(
                f"{path} has format {version}; this build knows up to {len(migrations)}",
                hint="run the newer Skerry that wrote it",
                path=str(path),
            )
        for number, script in enumerate(migrations[version:], start=version + 1):
            _run_script(connection, f"BEGIN IMMEDIATE;\n{script}\n;PRAGMA user_version = {number};COMMIT;")
    except sqlite3.Error as error:
        raise translate(error, path) from error


def _run_script(connection: sqlite3.Connection, script: str) -> None:
    try:
        connection.executescript(script)
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
