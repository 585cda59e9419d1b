"""The thread that owns a database's only writing connection.

Group commit: whatever arrived while the last transaction was being synced goes into the next one, so the
cost of one fsync is shared by all callers that wait for it (measurements part 1 §5). Each piece of work runs
in a savepoint of its own, so that one failing does not sink its neighbours. When the disk is full SQLite may
throw the whole transaction away; then every piece is tried once more alone, so that the small ones and
the deletes, which make room, still get through.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from skerry.store.faults import is_translated, translate

log = logging.getLogger(__name__)

Work = Callable[[sqlite3.Connection], object]

# More in one transaction saves nothing measurable and makes the first caller wait.
GROUP_MAX = 1024
# SQLite's own checkpoints never start the WAL anew while readers overlap each other without a gap. Beyond
# this we wait for a gap, holding writes up instead of filling the disk.
WAL_BYTES_MAX = 64 * 1024 * 1024


@dataclass(slots=True)
class Job:
    """One piece of work with whoever waits for it; as a context it keeps the error of its block."""

    work: Work
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[object]
    result: object = None
    error: BaseException | None = field(default=None)

    def __enter__(self) -> Job:
        self.error = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.error = error
        return True

    def settle(self) -> None:
        """Tell the waiting caller; runs in its loop."""
        if self.done.done():
            return
        if self.error is None:
            self.done.set_result(self.result)
        else:
            self.done.set_exception(self.error)


class Writer:
    """Runs work on ``connection`` in its own thread, committing in groups."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, wal_bytes_max: int = WAL_BYTES_MAX
    ) -> None:
        self._connection = connection
        self._wal = path.with_name(path.name + "-wal")
        self._wal_bytes_max = wal_bytes_max
        self._path = path
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"writer {path.name}", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> asyncio.Future[object]:
        """A future that resolves once the work is committed and on disk."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[object] = loop.create_future()
        self._jobs.put(Job(work, loop, done))
        return done

    def close(self) -> None:
        """Finish what was submitted, then end the thread and the connection. Blocks; nothing may follow."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            group, last = self._gather(job)
            self._commit(group)
            _settle(group)
            self._bound_wal()
            if last:
                break
        try:
            self._connection.close()
        except sqlite3.Error as error:
            log.warning("closing %s: %s", self._path, error)

    def _gather(self, first: Job) -> tuple[list[Job], bool]:
        group = [first]
        while len(group) < GROUP_MAX:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return group, True
            group.append(job)
        return group, False

    def _commit(self, group: Sequence[Job]) -> None:
        if self._transaction(group) or len(group) == 1:
            return
        for job in group:
            self._transaction([job])

    def _transaction(self, group: Sequence[Job]) -> bool:
        """Whether the transaction as a whole held; if not, every job carries the error."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for job in group:
                self._attempt(job)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            named = translate(error, self._path)
            for job in group:
                job.error = named
            return False
        for job in group:
            if isinstance(job.error, sqlite3.Error):
                job.error = translate(job.error, self._path)
        return True

    def _attempt(self, job: Job) -> None:
        self._connection.execute("SAVEPOINT job")
        with job:
            job.result = job.work(self._connection)
        if job.error is None:
            self._connection.execute("RELEASE job")
        elif self._connection.in_transaction and not is_translated(job.error):
            self._connection.execute("ROLLBACK TO job")
            self._connection.execute("RELEASE job")
        elif isinstance(job.error, sqlite3.Error):
            # The file or the disk is the trouble: the whole transaction is given up.
            raise job.error

    def _bound_wal(self) -> None:
        try:
            if self._wal.stat().st_size > self._wal_bytes_max:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except (OSError, sqlite3.Error) as error:
            log.warning("shortening %s: %s", self._wal, error)

    def _roll_back(self) -> None:
        if not self._connection.in_transaction:
            return
        try:
            self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            log.warning("rolling back %s: %s", self._path, error)


def _settle(group: Sequence[Job]) -> None:
    """One wake-up per loop, not one per job."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in group:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, jobs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle_all, jobs)
        except RuntimeError:
            log.debug("%d callers went away with their event loop", len(jobs))


def _settle_all(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job.settle()
