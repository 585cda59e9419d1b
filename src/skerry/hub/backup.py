"""Copies of a hub's data folder: taken while the hub runs, whole when they are there, checked before use."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import skerry
from skerry.clock import Clock, iso
from skerry.errors import AlreadyExists, Damaged, NotFound
from skerry.hub.setup import DATABASE_FILE, TELEMETRY_FILE, UPLOADS_FOLDER
from skerry.store.blobs import UNFINISHED
from skerry.store.connection import connect
from skerry.store.faults import DAMAGED_HINT, translate, translate_os

log = logging.getLogger(__name__)

# What is in a copy, with digests; the last thing written.
LIST_FILE = "backup.json"
COPY_BYTES = 1024 * 1024
CATALOG_FILE = "containers/catalog.db"
# Where blobs lie, and which rows of which database refer to them.
_BLOBS = {
    UPLOADS_FOLDER: (DATABASE_FILE, "blobs"),
    "containers/blobs": (CATALOG_FILE, "links"),
}
# Not of the data: pushes that are not finished.
_LEFT_OUT = ("containers/uploads",)


@dataclass(frozen=True, slots=True)
class Backup:
    """What a copy holds. ``vanished`` are files that were removed at the hub while it was taken."""

    path: Path
    time: str
    files: int
    size: int
    vanished: int = 0


def back_up(data_dir: Path, to: Path, clock: Clock) -> Backup:
    """Copy a hub's data folder to ``to``, which must not be there. The hub may run; it notices nothing.

    The databases are copied as they are at one moment, but for the blink between the hub's own and the event
    log, in that order: no event is lost between them. Files follow. Raises NotFound (no hub),
    AlreadyExists, Damaged, StorageFull, Unavailable.
    """
    if not (data_dir / DATABASE_FILE).exists():
        raise NotFound(f"no hub in {data_dir}", hint="give its data folder: --dir", path=str(data_dir))
    if to.exists():
        raise AlreadyExists(f"{to} is there already", hint="give a folder that is not", path=str(to))
    partial = to.with_name(f"{to.name}{UNFINISHED}")
    now = iso(clock.now())
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True, mode=0o700)
        _snapshots(data_dir, partial)
        for name in _files(data_dir):
            _copy(data_dir / name, partial / name)
        vanished = sum(_forget_missing(partial, folder, *where) for folder, where in _BLOBS.items())
        files = {name: _described(partial / name) for name in [*_databases(partial), *_files(partial)]}
        said = {"skerry": skerry.__version__, "time": now, "files": files}
        _write(partial / LIST_FILE, json.dumps(said, indent=2).encode())
        partial.rename(to)
    except OSError as error:
        raise translate_os(error, to) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    log.info("copied %s to %s: %d files", data_dir, to, len(files))
    return Backup(to, now, len(files), sum(one["bytes"] for one in files.values()), vanished)


def restore(source: Path, data_dir: Path) -> Backup:
    """Make ``data_dir``, which must not be there or be empty, from a copy; every file is checked.

    Raises NotFound (no whole copy), AlreadyExists, Damaged, StorageFull, Unavailable.
    """
    said = _read_list(source)
    if data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
        raise AlreadyExists(
            f"{data_dir} is not empty",
            hint="stop the hub and move its folder away, or give another",
            path=str(data_dir),
        )
    partial = data_dir.with_name(f"{data_dir.name}{UNFINISHED}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True, mode=0o700)
        for name, expected in said["files"].items():
            _check_name(name)
            _copy(source / name, partial / name)
            if _described(partial / name) != expected:
                raise Damaged(f"{source / name} is not what was copied", hint="take another copy")
            if name.endswith(".db"):
                _check_database(partial / name)
        if data_dir.exists():
            data_dir.rmdir()
        partial.rename(data_dir)
    except OSError as error:
        raise translate_os(error, data_dir) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    size = sum(one["bytes"] for one in said["files"].values())
    return Backup(source, said["time"], len(said["files"]), size)


def _databases(folder: Path) -> list[str]:
    """The hub's own first, then the event log: what is in its outbox may be in both, never in none."""
    known = [DATABASE_FILE, TELEMETRY_FILE]
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.db"))
    return [*(name for name in known if name in found), *(name for name in found if name not in known)]


def _files(folder: Path) -> list[str]:
    """Everything else that is data."""

    def names() -> Iterator[str]:
        for path in folder.rglob("*"):
            name = str(path.relative_to(folder))
            left_out = path.name.endswith((".db", ".db-wal", ".db-shm", UNFINISHED)) or name == LIST_FILE
            if path.is_file() and not left_out and not name.startswith(_LEFT_OUT):
                yield name

    return sorted(names())


def _snapshots(data_dir: Path, to: Path) -> None:
    with ExitStack() as stack:
        reading = {}
        for name in _databases(data_dir):
            reading[name] = stack.enter_context(closing(connect(data_dir / name, read_only=True)))
            with _translated(data_dir / name):
                # From now on this connection sees this moment.
                reading[name].execute("BEGIN")
                reading[name].execute("SELECT count(*) FROM sqlite_master").fetchone()
        for name, source in reading.items():
            _snapshot(source, data_dir / name, to / name)


def _snapshot(source: sqlite3.Connection, path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(target, b"")
    with _translated(path), closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
        # One file: the copy has no log beside it.
        copy.execute("PRAGMA journal_mode = DELETE")
    _check_database(target)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path) from error


def _check_database(path: Path) -> None:
    with (
        _translated(path),
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as opened,
    ):
        (verdict,) = opened.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Damaged(f"{path.name} is damaged: {verdict}", hint=DAMAGED_HINT, path=str(path))


def _copy(source: Path, target: Path) -> None:
    """Copy a file; one that is gone meanwhile is left out."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with source.open("rb") as reading:
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as writing:
                shutil.copyfileobj(reading, writing, COPY_BYTES)
                writing.flush()
                os.fsync(writing.fileno())
    except FileNotFoundError:
        log.debug("%s went away", source)


def _forget_missing(folder: Path, blobs: str, database: str, table: str) -> int:
    """Drop rows that name a file which is not in the copy; how many files that is."""
    path = folder / database
    if not path.exists():
        return 0
    # The table's name is one of ours.
    with closing(sqlite3.connect(path)) as connection, connection:
        named = {digest for (digest,) in connection.execute(f"SELECT DISTINCT digest FROM {table}")}
        missing = [one for one in named if not (folder / blobs / str(one).removeprefix("sha256:")).exists()]
        connection.executemany(f"DELETE FROM {table} WHERE digest = ?", [(one,) for one in missing])
    return len(missing)


def _described(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise Damaged(f"{path.name} is missing", hint="take another copy", path=str(path)) from error
    return {"sha256": digest, "bytes": path.stat().st_size}


def _read_list(source: Path) -> Any:
    path = source / LIST_FILE
    try:
        said = json.loads(path.read_bytes())
        if not isinstance(said["files"], dict) or DATABASE_FILE not in said["files"]:
            raise Damaged(f"{path} lists no hub", hint=DAMAGED_HINT)
    except FileNotFoundError as error:
        raise NotFound(
            f"{source} is no whole copy of a hub", hint="it has no backup.json", path=str(source)
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} cannot be read", hint=DAMAGED_HINT) from error
    return said


def _check_name(name: str) -> None:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise Damaged(f"the copy names a file outside of it: {name[:200]!r}", hint="do not use it")


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
