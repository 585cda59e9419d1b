"""Cloud-to-device messages and their feedback as rows; everything here runs inside a transaction."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from skerry.clock import iso
from skerry.contract.message import Message
from skerry.contract.names import DeviceId
from skerry.store.storage import Transaction

Ack = Literal["none", "positive", "negative", "full"]
# How a command can end, in the words of Azure's feedback records.
Status = Literal["Success", "Expired", "DeliveryCountExceeded", "Rejected", "Purged"]

# Azure's default: an unread feedback record is worth nothing after this.
FEEDBACK_TTL = timedelta(hours=1)
_COLUMNS = "sequence, device, enqueued, expires, deliveries, ack, properties, system, body"


@dataclass(frozen=True, slots=True)
class Command:
    """One queued message; times are ISO text in UTC, ``deliveries`` how often it was handed out before."""

    sequence: int
    device: DeviceId
    enqueued: str
    expires: str
    deliveries: int
    ack: str
    message: Message


def insert(
    connection: Transaction, device: DeviceId, message: Message, ack: Ack, now: str, expires: str
) -> int:
    """Queue a message for a device that is registered."""
    sql = (
        "INSERT INTO commands (device, enqueued, expires, ack, properties, system, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)"
    )
    properties, system = json.dumps(dict(message.properties)), json.dumps(dict(message.system))
    row = connection.execute(sql, (str(device), now, expires, ack, properties, system, message.body))
    assert row.lastrowid is not None
    return row.lastrowid


def count(connection: Transaction, device: DeviceId) -> int:
    """How many messages wait for a device."""
    sql = "SELECT count(*) FROM commands WHERE device = ? AND module = ''"
    (found,) = connection.execute(sql, (str(device),)).fetchone()
    return int(found)


def counts(connection: Transaction) -> dict[str, int]:
    """The same of every device that has any."""
    return dict(connection.execute("SELECT device, count(*) FROM commands GROUP BY device").fetchall())


def first(connection: Transaction, device: DeviceId, held: Container[int], now: str) -> Command | None:
    """The oldest message of a device that has not expired and is not among ``held``."""
    sql = "SELECT sequence FROM commands WHERE device = ? AND module = '' AND expires > ? ORDER BY sequence"
    waiting = connection.execute(sql, (str(device), now)).fetchall()
    chosen = next((sequence for (sequence,) in waiting if sequence not in held), None)
    return None if chosen is None else find(connection, chosen)


def find(connection: Transaction, sequence: int) -> Command | None:
    """The command, ``None`` when it has ended."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM commands WHERE sequence = ?", (sequence,)).fetchone()
    if row is None:
        return None
    number, device, enqueued, expires, deliveries, ack, properties, system, body = row
    message = Message(body, json.loads(properties), json.loads(system))
    return Command(number, DeviceId(device), enqueued, expires, deliveries, ack, message)


def hand_out(connection: Transaction, sequence: int) -> bool:
    """Count a delivery; False when the command has ended meanwhile."""
    sql = "UPDATE commands SET deliveries = deliveries + 1 WHERE sequence = ?"
    return connection.execute(sql, (sequence,)).rowcount == 1


def expired(connection: Transaction, now: str, held: Container[int]) -> list[int]:
    """The commands past their time that nobody is working on."""
    rows = connection.execute("SELECT sequence FROM commands WHERE expires <= ?", (now,))
    return [sequence for (sequence,) in rows if sequence not in held]


def any_old(connection: Transaction, now: str) -> bool:
    """Whether a command or a feedback record is past its time."""
    sql = "SELECT EXISTS (SELECT 1 FROM {} WHERE expires <= ?)"
    tables = ("commands", "feedback")
    return any(connection.execute(sql.format(table), (now,)).fetchone()[0] for table in tables)


def of_device(connection: Transaction, device: DeviceId) -> list[int]:
    """Every command of a device."""
    sql = "SELECT sequence FROM commands WHERE device = ? AND module = '' ORDER BY sequence"
    return [sequence for (sequence,) in connection.execute(sql, (str(device),))]


def end(connection: Transaction, sequence: int, status: Status, now: datetime) -> bool:
    """Remove a command and leave the feedback its sender asked for; False when it had ended before."""
    command = find(connection, sequence)
    if command is None:
        return False
    connection.execute("DELETE FROM commands WHERE sequence = ?", (sequence,))
    wanted = ("positive", "full") if status == "Success" else ("negative", "full")
    if command.ack in wanted:
        record = {
            "originalMessageId": command.message.system.get("messageId", ""),
            "enqueuedTimeUtc": iso(now),
            "statusCode": status,
            "description": status,
            "deviceId": str(command.device),
            "deviceGenerationId": _generation(connection, command.device),
        }
        insert_feedback(connection, "command", record, now)
    return True


def insert_feedback(connection: Transaction, kind: str, record: Mapping[str, object], now: datetime) -> None:
    """Leave a record for the services that read this kind of feedback."""
    connection.execute(
        "INSERT INTO feedback (expires, record, kind) VALUES (?, ?, ?)",
        (iso(now + FEEDBACK_TTL), json.dumps(record), kind),
    )


def feedback(
    connection: Transaction, kind: str, held: Container[int], limit: int
) -> list[tuple[int, dict[str, Any]]]:
    """The oldest feedback records of a kind that are not among ``held``."""
    found: list[tuple[int, dict[str, Any]]] = []
    sql = "SELECT sequence, record FROM feedback WHERE kind = ? ORDER BY sequence"
    for sequence, record in connection.execute(sql, (kind,)):
        if sequence not in held:
            found.append((sequence, json.loads(record)))
            if len(found) == limit:
                break
    return found


def hand_out_feedback(
    connection: Transaction, sequences: Sequence[int], deliveries_max: int, now: str
) -> None:
    """Count a delivery of each; what was delivered too often, or is past its time, goes."""
    connection.executemany(
        "UPDATE feedback SET deliveries = deliveries + 1 WHERE sequence = ?", [(one,) for one in sequences]
    )
    connection.execute("DELETE FROM feedback WHERE deliveries > ? OR expires <= ?", (deliveries_max, now))


def drop_feedback(connection: Transaction, sequences: Sequence[int]) -> None:
    """Forget records that were read."""
    connection.executemany("DELETE FROM feedback WHERE sequence = ?", [(one,) for one in sequences])


def drop_old_feedback(connection: Transaction, now: str) -> int:
    """Forget records that nobody read in time."""
    return connection.execute("DELETE FROM feedback WHERE expires <= ?", (now,)).rowcount


def _generation(connection: Transaction, device: DeviceId) -> str:
    sql = "SELECT generation FROM identities WHERE device = ? AND module = ''"
    (generation,) = connection.execute(sql, (str(device),)).fetchone()
    return str(generation)
