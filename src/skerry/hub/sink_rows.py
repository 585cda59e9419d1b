"""Sinks and their dead letters as rows of the event log's database; all inside a transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skerry.contract.sink import Sink, parse_sink
from skerry.store.storage import Transaction

# Beyond this the oldest dead letters of a sink go; the count says how many there were.
DEAD_LETTERS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class StoredSink:
    """A sink and how far it is: ``position`` is the last event that it is done with."""

    sink: Sink
    position: int
    delivered: int
    dead: int
    last_error: str
    created: str
    etag: str


_COLUMNS = "name, document, position, delivered, dead, last_error, created, etag"


def find(connection: Transaction, name: str) -> StoredSink | None:
    """A sink by name."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM sinks WHERE name = ?", (name,)).fetchone()
    return None if row is None else _stored(row)


def listed(connection: Transaction) -> list[StoredSink]:
    """All by name."""
    return [_stored(row) for row in connection.execute(f"SELECT {_COLUMNS} FROM sinks ORDER BY name")]


def insert(connection: Transaction, sink: Sink, position: int, now: str, etag: str) -> None:
    """Add a sink that begins after an event."""
    document = json.dumps(sink.document(secret=True))
    connection.execute(
        "INSERT INTO sinks (name, document, position, created, etag) VALUES (?, ?, ?, ?, ?)",
        (sink.name, document, position, now, etag),
    )


def update(connection: Transaction, sink: Sink, etag: str) -> None:
    """Change a sink; it stays where it is."""
    document = json.dumps(sink.document(secret=True))
    sql = "UPDATE sinks SET document = ?, etag = ?, last_error = '' WHERE name = ?"
    connection.execute(sql, (document, etag, sink.name))


def delete(connection: Transaction, name: str) -> None:
    """Remove a sink, its dead letters with it."""
    connection.execute("DELETE FROM sinks WHERE name = ?", (name,))


def advance(connection: Transaction, name: str, position: int, delivered: int) -> None:
    """These events are delivered, or were not for this sink."""
    sql = "UPDATE sinks SET position = ?, delivered = delivered + ?, last_error = '' WHERE name = ?"
    connection.execute(sql, (position, delivered, name))


def failed(connection: Transaction, name: str, reason: str) -> None:
    """Remember why the last attempt failed."""
    connection.execute("UPDATE sinks SET last_error = ? WHERE name = ?", (reason, name))


def give_up(
    connection: Transaction,
    name: str,
    events: Sequence[tuple[int, str]],
    attempts: int,
    reason: str,
    now: str,
) -> None:
    """Put events (sequence, JSON) aside and go on after them; nothing when the sink is gone."""
    done = connection.execute(
        "UPDATE sinks SET position = ?, dead = dead + ?, last_error = ? WHERE name = ?",
        (events[-1][0], len(events), reason, name),
    )
    if not done.rowcount:
        return
    connection.executemany(
        "INSERT INTO dead_letters (sink, sequence, time, attempts, reason, event) VALUES (?, ?, ?, ?, ?, ?)",
        [(name, sequence, now, attempts, reason, event) for sequence, event in events],
    )
    connection.execute(
        "DELETE FROM dead_letters WHERE sink = ?1 AND number <= (SELECT number FROM dead_letters"
        " WHERE sink = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
        (name, DEAD_LETTERS_MAX),
    )


def dead_letters(connection: Transaction, name: str, after: int, limit: int) -> list[dict[str, Any]]:
    """Dead letters in order after the one numbered ``after``."""
    rows = connection.execute(
        "SELECT number, sequence, time, attempts, reason, event FROM dead_letters"
        " WHERE sink = ? AND number > ? ORDER BY number LIMIT ?",
        (name, after, limit),
    )
    return [
        {
            "number": number,
            "sequence": sequence,
            "time": time,
            "attempts": attempts,
            "reason": reason,
            "event": json.loads(event),
        }
        for number, sequence, time, attempts, reason, event in rows
    ]


def drop_dead_letters(connection: Transaction, name: str, through: int) -> int:
    """Forget dead letters up to a number; how many."""
    sql = "DELETE FROM dead_letters WHERE sink = ? AND number <= ?"
    return connection.execute(sql, (name, through)).rowcount


def _stored(row: tuple[str, str, int, int, int, str, str, str]) -> StoredSink:
    name, document, position, delivered, dead, last_error, created, etag = row
    sink = parse_sink(json.loads(document), name)
    return StoredSink(sink, position, delivered, dead, last_error, created, etag)
