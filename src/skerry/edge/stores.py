"""The runtime's files: a lock, the database of documents, the message queue."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skerry.clock import Clock
from skerry.edge.hub.salvage import Salvaged, try_salvage
from skerry.edge.settings import EdgeSettings
from skerry.errors import Damaged, Unavailable
from skerry.store.database import Database
from skerry.store.documents import DOCUMENTS, Documents
from skerry.store.queue import Queue

log = logging.getLogger(__name__)

# A queue up to this size is read wholly before it is used; a larger one afterwards, so that a device with a
# gigabyte to deliver is up within a second.
VERIFIED_AT_START_BYTES = 64 * 1024 * 1024
# Flash loses what it held; what waits long is looked at again.
VERIFY_EVERY_S = 6 * 3600.0


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
    """Both files open; ``quarantined`` names those that were damaged and put aside.

    ``damaged`` is set when the queue in use turns out to be unreadable in part: opened anew, it is salvaged.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        database: Database,
        queue: Queue,
        quarantined: tuple[str, ...],
        salvaged: Salvaged | None = None,
    ) -> None:
        self.database = database
        self.queue = queue
        self.quarantined = quarantined
        self.salvaged = salvaged
        self.damaged = asyncio.Event()
        self._settings = settings

    async def watch(self, clock: Clock) -> None:
        """Look for damage in the queue now and then, until cancelled or there is some."""
        while True:
            try:
                await self.queue.verify()
            except Damaged as error:
                noted(self._settings, error)
                self.damaged.set()
                return
            await clock.sleep(VERIFY_EVERY_S)

    def status(self) -> dict[str, Any]:
        """For people: ``degraded`` from a start that found damage until one that found none."""
        saved = self.salvaged
        return {
            "state": "degraded" if self.quarantined else "ok",
            "quarantined": list(self.quarantined),
            **(
                {}
                if saved is None
                else {"salvaged": {"messages": saved.messages, "complete": saved.complete}}
            ),
        }

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
            queue, salvaged = await _open_queue(settings, database, clock, quarantined)
        except BaseException:
            await database.close()
            raise
        return cls(settings, database, queue, tuple(quarantined), salvaged)

    async def close(self) -> None:
        await self.queue.close()
        await self.database.close()


async def _open_queue(
    settings: EdgeSettings, database: Database, clock: Clock, quarantined: list[str]
) -> tuple[Queue, Salvaged | None]:
    try:
        return await _sound_queue(settings, clock), None
    except Damaged as error:
        quarantined.append(_quarantine(settings.queue_file, error, clock))
        aside = settings.queue_file.with_name(quarantined[-1])
        # The ledger's memory names entries by their sequence: no later one may be mistaken for an earlier.
        known = [document["after"] for _, document in await Documents(database, "ledger").items()]
        salvaged = await try_salvage(aside, settings.queue_file, max(known, default=0))
        log.warning("%d messages were salvaged from %s", salvaged.messages, aside.name)
        _unsound_mark(settings).unlink(missing_ok=True)
        queue = await Queue.open(settings.queue_file, bytes_max=settings.queue_bytes_max, clock=clock)
        return queue, salvaged


async def _sound_queue(settings: EdgeSettings, clock: Clock) -> Queue:
    """The queue; Damaged when it, or its last user, found it so."""
    if _unsound_mark(settings).exists():
        raise Damaged(f"{settings.queue_file} was found unreadable in part", path=str(settings.queue_file))
    queue = await Queue.open(settings.queue_file, bytes_max=settings.queue_bytes_max, clock=clock)
    try:
        if settings.queue_file.stat().st_size <= VERIFIED_AT_START_BYTES:
            await queue.verify()
    except Damaged:
        await queue.close()
        raise
    return queue


def noted(settings: EdgeSettings, error: Damaged) -> bool:
    """Whether damage found in use is the queue's; the next ``Stores.open`` salvages it then."""
    if error.fields.get("path") != str(settings.queue_file):
        return False
    log.error("%s; what is readable goes into a new file", error)
    _unsound_mark(settings).touch()
    return True


def _unsound_mark(settings: EdgeSettings) -> Path:
    return settings.queue_file.with_name(settings.queue_file.name + ".unsound")


def _quarantine(file: Path, error: Damaged, clock: Clock) -> str:
    aside = file.with_name(f"{file.name}.damaged-{int(clock.now().timestamp())}")
    log.error("%s; it is put aside as %s and a new one is begun", error, aside.name)
    for suffix in ("", "-wal", "-shm"):
        part = file.with_name(file.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside.name
