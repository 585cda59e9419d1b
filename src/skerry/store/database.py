"""An SQLite database whose writes are durable when they return."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import TypeVar, cast

from skerry.errors import Unavailable
from skerry.store.connection import connect, create_file, migrate
from skerry.store.faults import translate
from skerry.store.writer import WAL_BYTES_MAX, Writer

T = TypeVar("T")

# SQLite reads from the page cache mostly; more threads than this only wait for the interpreter lock.
READERS = 2


class Database:
    """One writer with group commit, a few readers; nothing here blocks the event loop but ``read_now``."""

    def __init__(self, path: Path, writer: Writer, readers: Sequence[sqlite3.Connection]) -> None:
        self.path = path
        self._writer = writer
        self._now, *pooled = readers
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        for connection in pooled:
            self._idle.put(connection)
        self._threads = ThreadPoolExecutor(len(pooled), thread_name_prefix=f"reader {path.name}")
        self._closed = False

    @classmethod
    async def open(
        cls, path: Path, migrations: Sequence[str], *, wal_bytes_max: int = WAL_BYTES_MAX
    ) -> Database:
        """Open or create the file and bring it to the newest of ``migrations`` (SQL scripts, append only).

        The write-ahead log beside the file is kept below about ``wal_bytes_max`` bytes.
        Raises Damaged (not a database, or broken), Unsupported (written by a newer Skerry), StorageFull,
        Unavailable (not ours to open).
        """
        writing, readers = await asyncio.to_thread(_open, path, tuple(migrations))
        return cls(path, Writer(writing, path, wal_bytes_max), readers)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in the writer's thread; returns its result once it is committed and synced.

        An error from ``work`` undoes only what this ``work`` did. ``work`` may be run a second time after
        the disk was full, so it must do nothing but use its connection, and neither commit nor roll back.
        Raises StorageFull (nothing of it was kept), Damaged, Unavailable (closed).
        """
        return cast(T, await self.submit(work))

    def submit(self, work: Callable[[sqlite3.Connection], object]) -> asyncio.Future[object]:
        """``write`` as a future: the work has its place in the order at once."""
        if not self._closed:
            # What the caller's context says (who is acting) is known to the work as well.
            context = copy_context()
            return self._writer.submit(lambda connection: context.run(work, connection))
        failed = asyncio.get_running_loop().create_future()
        failed.set_exception(_closed(self.path))
        return failed

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in a reader's thread on one consistent snapshot; return plain values, no cursors."""
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read_pooled, work)

    def read_now(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` here and now; for reads of a few rows only, since the loop waits."""
        self._check_open()
        return self._snapshot(self._now, work)

    async def close(self) -> None:
        """Finish the writes that were asked for, then close the file. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._threads.shutdown(wait=True)
        self._now.close()
        for _ in range(READERS):
            self._idle.get().close()
        # Last, so that SQLite folds the WAL into the file and removes it.
        self._writer.close()

    def _check_open(self) -> None:
        if self._closed:
            raise _closed(self.path)

    def _read_pooled(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._idle.get()
        try:
            return self._snapshot(connection, work)
        finally:
            self._idle.put(connection)

    def _snapshot(self, connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            named = translate(error, self.path)
            # A "read" that writes is the caller's mistake, no matter of the file's mode.
            if named is error or error.sqlite_errorcode == sqlite3.SQLITE_READONLY:
                raise
            raise named from error


def _closed(path: Path) -> Unavailable:
    return Unavailable(f"{path.name} is closed", path=str(path))


def _open(path: Path, migrations: Sequence[str]) -> tuple[sqlite3.Connection, list[sqlite3.Connection]]:
    create_file(path)
    writing = connect(path)
    readers: list[sqlite3.Connection] = []
    try:
        migrate(writing, path, migrations)
        for _ in range(READERS + 1):
            readers.append(connect(path, read_only=True))
    except BaseException:
        for connection in [*readers, writing]:
            connection.close()
        raise
    return writing, readers
