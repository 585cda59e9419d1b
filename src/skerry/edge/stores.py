"""The runtime's files: a lock, the database of documents, the message queue."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skerry.clock import Clock
from skerry.edge.settings import EdgeSettings
from skerry.errors import Damaged, Unavailable
from skerry.store.database import Database
from skerry.store.documents import DOCUMENTS
from skerry.store.queue import Queue

log = logging.getLogger(__name__)


@contextmanager
def locked(settings: EdgeSettings) -> Iterator[None]:
    """Hold the data directory alone. Unavailable when another runtime has it."""
    handle = os.open(settings.data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable(
                f"another runtime serves {settings.data_dir}", hint="stop it, or use another data directory"
            ) from error
        yield
    finally:
        os.close(handle)


def make_run_directory(settings: EdgeSettings) -> None:
    """The directory of the sockets, ours alone. Unavailable when somebody else made it."""
    directory = settings.run_directory
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        raise Unavailable(f"{directory} is not ours", hint="use a data directory with a shorter path")


class Stores:
    """Both files open; ``quarantined`` names those that were damaged and put aside."""

    def __init__(self, database: Database, queue: Queue, quarantined: tuple[str, ...]) -> None:
        self.database = database
        self.queue = queue
        self.quarantined = quarantined

    @classmethod
    async def open(cls, settings: EdgeSettings, clock: Clock) -> Stores:
        """Open them. A damaged file is kept under another name and a new one begun: the device starts."""
        quarantined: list[str] = []
        try:
            database = await Database.open(settings.database_file, [DOCUMENTS])
        except Damaged as error:
            quarantined.append(_quarantine(settings.database_file, error, clock))
            database = await Database.open(settings.database_file, [DOCUMENTS])
        try:
            queue = await _open_queue(settings, clock, quarantined)
        except BaseException:
            await database.close()
            raise
        return cls(database, queue, tuple(quarantined))

    async def close(self) -> None:
        await self.queue.close()
        await self.database.close()


async def _open_queue(settings: EdgeSettings, clock: Clock, quarantined: list[str]) -> Queue:
    try:
        return await Queue.open(settings.queue_file, bytes_max=settings.queue_bytes_max, clock=clock)
    except Damaged as error:
        quarantined.append(_quarantine(settings.queue_file, error, clock))
        return await Queue.open(settings.queue_file, bytes_max=settings.queue_bytes_max, clock=clock)


def _quarantine(file: Path, error: Damaged, clock: Clock) -> str:
    aside = file.with_name(f"{file.name}.damaged-{int(clock.now().timestamp())}")
    log.error("%s; it is put aside as %s and a new one is begun", error, aside.name)
    for suffix in ("", "-wal", "-shm"):
        part = file.with_name(file.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside.name
