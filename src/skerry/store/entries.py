"""The values a queue takes and gives, with the table they lie in."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

_FIRST = """
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
# What every endpoint holds, kept in step by all that writes: counting a gigabyte takes seconds at a start.
_TOTALS = """
CREATE TABLE total (
    endpoint TEXT PRIMARY KEY,
    messages INTEGER NOT NULL,
    size INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO total SELECT endpoint, count(*), sum(length(headers) + length(body)) FROM entry GROUP BY endpoint;
"""
QUEUE = (_FIRST, _TOTALS)

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


def insert(connection: sqlite3.Connection, rows: Sequence[Stored], lengths: Mapping[str, Length]) -> None:
    """Add entries, which make up ``lengths``."""
    at = 0
    for size in _ROWS_AT_ONCE:
        while len(rows) - at >= size:
            connection.execute(_INSERT[size], tuple(chain.from_iterable(rows[at : at + size])))
            at += size
    _add(connection, lengths)


def lengths_of(rows: Iterable[Entry | Stored]) -> dict[str, Length]:
    """What entries make up, by endpoint."""
    counts: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for row in rows:
        counts[row.endpoint] = counts.get(row.endpoint, 0) + 1
        sizes[row.endpoint] = sizes.get(row.endpoint, 0) + len(row.body) + len(row.headers)
    return {endpoint: Length(count, sizes[endpoint]) for endpoint, count in counts.items()}


_ADD = """
 ON CONFLICT (endpoint) DO UPDATE
 SET messages = messages + excluded.messages, size = size + excluded.size
"""


def _add(connection: sqlite3.Connection, lengths: Mapping[str, Length]) -> None:
    connection.executemany(
        "INSERT INTO total VALUES (?, ?, ?)" + _ADD,
        [(endpoint, length.messages, length.size) for endpoint, length in lengths.items()],
    )


def delete(connection: sqlite3.Connection, sequences: Sequence[int]) -> None:
    """Delete what is still there of ``sequences``."""
    chosen = (json.dumps(list(sequences)),)
    connection.execute(
        "INSERT INTO total SELECT endpoint, -count(*), -sum(length(headers) + length(body)) FROM entry"
        " WHERE sequence IN (SELECT value FROM json_each(?)) GROUP BY endpoint" + _ADD,
        chosen,
    )
    connection.execute("DELETE FROM entry WHERE sequence IN (SELECT value FROM json_each(?))", chosen)


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
    rows = connection.execute("SELECT endpoint, messages, size FROM total WHERE messages > 0")
    return {endpoint: Length(count, size) for endpoint, count, size in rows}


def verify(connection: sqlite3.Connection, after: int, limit: int) -> int | None:
    """Read up to ``limit`` entries behind a sequence, so that SQLite finds damage; the last one's."""
    last, _ = connection.execute(
        "SELECT max(sequence), sum(length(headers) + length(body)) FROM (SELECT sequence, headers, body"
        " FROM entry WHERE sequence > ? ORDER BY sequence LIMIT ?)",
        (after, limit),
    ).fetchone()
    return None if last is None else int(last)


def verify_order(connection: sqlite3.Connection) -> None:
    """Read the order in which entries are drained. SQLite finds damage."""
    connection.execute("SELECT count(*) FROM entry INDEXED BY entry_order WHERE endpoint >= ''").fetchone()


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
    gone = connection.execute(
        "DELETE FROM entry WHERE sequence IN"
        " (SELECT sequence FROM entry WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)"
        " RETURNING sequence, endpoint, length(headers) + length(body)",
        (now, limit),
    ).fetchall()
    lost: dict[str, Length] = {}
    for _, endpoint, size in gone:
        messages, before = lost.get(endpoint, (0, 0))
        lost[endpoint] = Length(messages - 1, before - size)
    _add(connection, lost)
    return gone


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
