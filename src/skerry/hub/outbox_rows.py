"""Events of the hub that are not in the event log yet, as rows; everything runs inside a transaction."""

from __future__ import annotations

import json
from dataclasses import dataclass

from skerry.contract.message import Message
from skerry.contract.names import Identity
from skerry.hub.subscriptions import key
from skerry.store.storage import Transaction


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row: its number, and the columns of the event log."""

    number: int
    columns: tuple[str, str, str, str, str, bytes]


def insert(connection: Transaction, identity: Identity, now: str, message: Message) -> None:
    """Put an event behind those that wait."""
    connection.execute(
        "INSERT INTO outbox (enqueued, device, module, properties, system, body) VALUES (?, ?, ?, ?, ?, ?)",
        (
            now,
            *key(identity),
            json.dumps(dict(message.properties), ensure_ascii=False),
            json.dumps(dict(message.system), ensure_ascii=False),
            message.body,
        ),
    )


def next_number(connection: Transaction) -> int:
    """The number that the next event gets; never given twice."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
    return 1 + (int(row[0]) if row else 0)


def number_after(connection: Transaction, known: int) -> None:
    """Give the next event a number above ``known``."""
    if next_number(connection) > known:
        return
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'outbox'")
    connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', ?)", (known,))


def oldest(connection: Transaction, limit: int) -> list[Waiting]:
    """Events in order."""
    rows = connection.execute(
        "SELECT sequence, enqueued, device, module, properties, system, body FROM outbox"
        " ORDER BY sequence LIMIT ?",
        (limit,),
    )
    return [Waiting(number, (*columns,)) for number, *columns in rows]


def drop(connection: Transaction, through: int) -> None:
    """Forget events up to this number."""
    connection.execute("DELETE FROM outbox WHERE sequence <= ?", (through,))
