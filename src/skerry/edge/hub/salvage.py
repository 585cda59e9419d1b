"""What can still be read of a damaged queue file, brought into the one that takes its place."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from skerry.errors import SkerryError
from skerry.store import entries
from skerry.store.database import Database
from skerry.store.entries import QUEUE, Stored

log = logging.getLogger(__name__)

# Rows read, then written, at a time.
ROWS_AT_ONCE = 256
# A damaged page is stepped over this many times, each time further, before the rest is given up.
STEPS_MAX = 40
# Far beyond what any file of ours can have given out since its last row was written.
SEQUENCES_SKIPPED = 1_000_000
_SELECT = "SELECT sequence, endpoint, priority, expires_at, body, headers FROM entry"


# Left free for what comes, and for the write-ahead log.
RESERVE_BYTES = 64 * 1024 * 1024
# A row takes this much beside its bytes, its places in the indexes and the write-ahead log included.
ROW_BYTES = 256


def free_bytes_of(folder: Path) -> int:
    """What an ordinary user may still write there."""
    return shutil.disk_usage(folder).free


@dataclass(frozen=True, slots=True)
class Salvaged:
    """How many messages were brought over, and whether the end of the damaged file was reached."""

    messages: int
    complete: bool


async def salvage(
    damaged: Path, fresh: Path, above: int, free_bytes: Callable[[Path], int] = free_bytes_of
) -> Salvaged:
    """Fill the new file ``fresh`` with the readable entries of ``damaged``, which stays as it is.

    Of what there is no room for the newest are left out; RESERVE_BYTES stay free, or new messages could not
    be stored. Sequences given out later are above all of these and above ``above``. Raises as
    ``Database.write``.
    """
    room = free_bytes(fresh.parent) - RESERVE_BYTES
    database = await Database.open(fresh, QUEUE)
    try:
        reader = _Reader(damaged)
        highest, messages = above, 0
        rows = reader.rows()
        while batch := await asyncio.to_thread(_take, rows):
            room -= sum(_disk_bytes(row) for row in batch)
            if room < 0:
                log.error("%s: the disk is too full for more than %d messages", damaged.name, messages)
                reader.complete = False
                break
            await database.write(partial(_insert, batch))
            messages += len(batch)
            highest = max(highest, batch[-1][0])
        await database.write(lambda connection: entries.reserve(connection, highest + SEQUENCES_SKIPPED))
        return Salvaged(messages, reader.complete)
    finally:
        await database.close()


class _Reader:
    """Reads in the order of sequences; ``complete`` when it came to the end without leaving anything out."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.complete = False

    def rows(self) -> Iterator[Stored]:
        try:
            # Never written: what a later, better tool could read must stay.
            connection = sqlite3.connect(
                f"file:{self._file}?mode=ro", uri=True, check_same_thread=False, isolation_level=None
            )
        except sqlite3.Error as error:
            log.error("nothing could be salvaged from %s: %s", self._file.name, error)
            return
        try:
            yield from self._following(connection)
        finally:
            connection.close()

    def _following(self, connection: sqlite3.Connection) -> Iterator[Stored]:
        # Sequences begin at 1.
        after, step, steps = 0, 1, 0
        while True:
            try:
                for row in connection.execute(f"{_SELECT} WHERE sequence > ? ORDER BY sequence", (after,)):
                    after = row[0]
                    if _sound(row):
                        yield Stored(*row)
                self.complete = steps == 0
                return
            except sqlite3.Error as error:
                level = logging.DEBUG if steps else logging.WARNING
                log.log(level, "%s: unreadable behind entry %d: %s", self._file.name, after, error)
                steps += 1
                if steps > STEPS_MAX:
                    return
                # Over the unreadable place, further each time.
                after, step = after + step, step * 2


def _insert(rows: list[Stored], connection: sqlite3.Connection) -> None:
    entries.insert(connection, rows, entries.lengths_of(rows))


def _disk_bytes(row: Stored) -> int:
    return row.size + ROW_BYTES


def _take(rows: Iterator[Stored]) -> list[Stored]:
    found: list[Stored] = []
    for row in rows:
        found.append(row)
        if len(found) == ROWS_AT_ONCE:
            break
    return found


def _sound(row: tuple[object, ...]) -> bool:
    """Whether the values are of the kinds that an entry has."""
    sequence, endpoint, priority, expires_at, body, headers = row
    return (
        isinstance(sequence, int)
        and isinstance(endpoint, str)
        and isinstance(priority, int)
        and isinstance(expires_at, float | None)
        and isinstance(headers, bytes)
        and isinstance(body, bytes)
    )


async def try_salvage(damaged: Path, fresh: Path, above: int) -> Salvaged:
    """``salvage``; when even that fails, nothing, and the error in the log."""
    try:
        return await salvage(damaged, fresh, above)
    except SkerryError as error:
        log.error("salvage from %s failed: %s", damaged.name, error)
        return Salvaged(0, complete=False)
