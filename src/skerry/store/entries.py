"""The values a queue takes and gives, with the table they lie in."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

QUEUE = """
CREATE TABLE entry (
    sequence INTEGER PRIMARY KEY,
    endpoint TEXT NOT NULL,
    priority INTEGER NOT NULL,
    expires_at REAL,
    headers BLOB NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX entry_order ON entry (endpoint, priority, sequence);
CREATE INDEX entry_expiry ON entry (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE counter (next INTEGER NOT NULL);
INSERT INTO counter VALUES (1);
"""

# Where a size is asked below, both lengths come from the row's header; a large body is not read.


class Entry(NamedTuple):
    """One message for one endpoint. ``expires_at`` is Unix seconds, or None to keep it for ever.

    A named tuple, as ``Stored``: some are made per message, and a frozen dataclass costs three times that.
    """

    endpoint: str
    priority: int
    expires_at: float | None
    body: bytes
    headers: bytes

    @property
    def size(self) -> int:
        """Bytes that count against the queue's cap."""
        return len(self.headers) + len(self.body)


class Cursor(NamedTuple):
    """A place in an endpoint's order; ``peek`` returns what comes after it."""

    priority: int
    sequence: int


START = Cursor(-(2**63), -(2**63))


class Stored(NamedTuple):
    """An entry as it lies in the queue; ``sequence`` is never given twice, whatever crashes."""

    sequence: int
    endpoint: str
    priority: int
    expires_at: float | None
    body: bytes
    headers: bytes

    @property
    def cursor(self) -> Cursor:
        """Where to go on after this entry."""
        return Cursor(self.priority, self.sequence)

    @property
    def size(self) -> int:
        """Bytes that count against the queue's cap."""
        return len(self.headers) + len(self.body)


class Length(NamedTuple):
    """How much an endpoint holds."""

    messages: int
    size: int


# Rows in one statement. SQLite takes one lock of the interpreter per statement, not per row: what the
# event loop does meanwhile goes on. 96 × 6 values stay below the oldest SQLite's bound of 999.
_ROWS_AT_ONCE = (96, 16, 1)
_INSERT = {
    rows: "INSERT INTO entry (sequence, endpoint, priority, expires_at, body, headers) VALUES "
    + ", ".join(["(?, ?, ?, ?, ?, ?)"] * rows)
    for rows in _ROWS_AT_ONCE
}


def insert(connection: sqlite3.Connection, rows: Sequence[Stored]) -> None:
    """Add entries."""
    at = 0
    for size in _ROWS_AT_ONCE:
        while len(rows) - at >= size:
            connection.execute(_INSERT[size], tuple(chain.from_iterable(rows[at : at + size])))
            at += size


def delete(connection: sqlite3.Connection, sequences: Sequence[int]) -> None:
    """Delete what is still there of ``sequences``."""
    connection.execute(
        "DELETE FROM entry WHERE sequence IN (SELECT value FROM json_each(?))", (json.dumps(list(sequences)),)
    )


def sizes(connection: sqlite3.Connection, endpoint: str, sequences: Sequence[int]) -> dict[int, int]:
    """The bytes of those of ``sequences`` that are there."""
    return dict(
        connection.execute(
            "SELECT sequence, length(headers) + length(body) FROM entry"
            " WHERE sequence IN (SELECT value FROM json_each(?)) AND endpoint = ?",
            (json.dumps(list(sequences)), endpoint),
        ).fetchall()
    )


def totals(connection: sqlite3.Connection) -> dict[str, Length]:
    """What every endpoint holds."""
    rows = connection.execute(
        "SELECT endpoint, count(*), sum(length(headers) + length(body)) FROM entry GROUP BY endpoint"
    )
    return {endpoint: Length(count, size) for endpoint, count, size in rows}


def following(
    connection: sqlite3.Connection, endpoint: str, after: Cursor, now: float, limit: int, bytes_max: int
) -> list[Stored]:
    """Up to ``limit`` entries after a place, or fewer when ``bytes_max`` is passed; at least one."""
    found: list[Stored] = []
    size = 0
    for row in connection.execute(
        "SELECT sequence, endpoint, priority, expires_at, body, headers FROM entry"
        " WHERE endpoint = ? AND (priority, sequence) > (?, ?) AND (expires_at IS NULL OR expires_at > ?)"
        " ORDER BY priority, sequence LIMIT ?",
        (endpoint, *after, now, limit),
    ):
        entry = Stored(*row)
        size += entry.size
        if found and size > bytes_max:
            break
        found.append(entry)
    return found


def delete_expired(connection: sqlite3.Connection, now: float, limit: int) -> list[tuple[int, str, int]]:
    """Delete up to ``limit`` entries whose time is over; their (sequence, endpoint, bytes)."""
    return connection.execute(
        "DELETE FROM entry WHERE sequence IN"
        " (SELECT sequence FROM entry WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)"
        " RETURNING sequence, endpoint, length(headers) + length(body)",
        (now, limit),
    ).fetchall()


def delete_excess(
    connection: sqlite3.Connection,
    endpoint: str,
    messages: int,
    size: int,
    priority_min: int | None,
    limit: int,
) -> list[tuple[int, int]]:
    """Delete the oldest of an endpoint until so many messages and bytes are gone; their (sequence, bytes).

    With ``priority_min`` only entries of that number or above (less urgent), the highest number first.
    """
    found: list[tuple[int, int]] = []
    order = "sequence" if priority_min is None else "priority DESC, sequence"
    # Only one of our two orders is put into the text.
    for sequence, length in connection.execute(
        "SELECT sequence, length(headers) + length(body) FROM entry"
        f" WHERE endpoint = ? AND priority >= ? ORDER BY {order} LIMIT ?",
        (endpoint, -(2**63) if priority_min is None else priority_min, limit),
    ):
        if messages <= 0 and size <= 0:
            break
        found.append((sequence, length))
        messages, size = messages - 1, size - length
    delete(connection, [sequence for sequence, _ in found])
    return found


def expiring(connection: sqlite3.Connection, before: float) -> dict[str, int]:
    """How many entries of each endpoint expire before a time (Unix seconds)."""
    sql = "SELECT endpoint, count(*) FROM entry WHERE expires_at <= ? GROUP BY endpoint"
    return dict(connection.execute(sql, (before,)).fetchall())


def reserve(connection: sqlite3.Connection, next_sequence: int) -> None:
    """Promise that no sequence from here on has been given out; dirties a page only when that is new."""
    connection.execute("UPDATE counter SET next = ? WHERE next < ?", (next_sequence, next_sequence))


def first_free(connection: sqlite3.Connection) -> int:
    """The lowest sequence that was never given out."""
    (reserved,) = connection.execute("SELECT next FROM counter").fetchone()
    (highest,) = connection.execute("SELECT coalesce(max(sequence), 0) FROM entry").fetchone()
    return max(int(reserved), int(highest) + 1)
