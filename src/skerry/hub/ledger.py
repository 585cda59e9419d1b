"""What arrived of what every sender sent: exact accounts of loss, repetition and order.

An edge device numbers each sender's messages from 1 (``skerry-seq``) within the life of its store
(``skerry-epoch``); see docs/decisions. The accounts are a projection of the telemetry log: brought up to date
when somebody asks and before the log is trimmed, so that storing a message costs nothing more.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.store.database import Database

SEQUENCE_PROPERTY = "skerry-seq"
EPOCH_PROPERTY = "skerry-epoch"
# Rows of the log folded in one transaction, so that devices do not wait for it.
FOLD_ROWS = 2_000
# An account with more gaps than this gives up the oldest: what is missing there counts as lost for good.
GAPS_MAX = 1_000
# A sender that names ever new epochs does not fill the disk: those it used last are kept.
EPOCHS_MAX = 16
EPOCH_CHARS_MAX = 64
NUMBER_DIGITS_MAX = 15

Gap = tuple[int, int]  # first and last missing number


@dataclass(frozen=True, slots=True)
class Account:
    """One sender in one epoch. ``missing`` are the gaps below ``highest``, ascending."""

    highest: int = 0
    received: int = 0
    duplicates: int = 0
    reordered: int = 0
    given_up: int = 0
    missing: tuple[Gap, ...] = ()

    @property
    def lost(self) -> int:
        """Numbers below the highest that never arrived."""
        return self.given_up + sum(last - first + 1 for first, last in self.missing)

    def arrived(self, number: int) -> Account:
        """After message ``number`` (from 1) arrived."""
        if number == self.highest + 1:
            return replace(self, highest=number, received=self.received + 1)
        if number > self.highest:
            gaps = (*self.missing, (self.highest + 1, number - 1))
            return replace(self, highest=number, received=self.received + 1, missing=gaps)._bounded()
        for index, (first, last) in enumerate(self.missing):
            if first <= number <= last:
                halves = [(first, number - 1), (number + 1, last)]
                left = tuple(gap for gap in halves if gap[0] <= gap[1])
                gaps = (*self.missing[:index], *left, *self.missing[index + 1 :])
                late = replace(self, received=self.received + 1, reordered=self.reordered + 1, missing=gaps)
                return late._bounded()
        return replace(self, duplicates=self.duplicates + 1)

    def _bounded(self) -> Account:
        if len(self.missing) <= GAPS_MAX:
            return self
        (first, last), *rest = self.missing
        return replace(self, missing=tuple(rest), given_up=self.given_up + last - first + 1)


@dataclass(frozen=True, slots=True)
class Entry:
    """An account with whose it is."""

    sender: Identity
    epoch: str
    account: Account


class Ledger:
    """The accounts of all senders, durable; it reads the telemetry log they are about."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fold(self) -> None:
        """Take everything into account that the log holds now. Raises StorageFull."""
        while await self._database.write(_fold) == FOLD_ROWS:
            pass

    async def entries(self, device: str | None = None) -> Sequence[Entry]:
        """The accounts, of one device or of all, up to date."""
        await self.fold()
        return await self._database.read(lambda connection: list(_entries(connection, device)))


def _fold(connection: sqlite3.Connection) -> int:
    (position,) = connection.execute("SELECT sequence FROM ledger_position").fetchone()
    rows = connection.execute(
        "SELECT sequence, device, module, properties ->> ?, properties ->> ? FROM telemetry"
        " WHERE sequence > ? ORDER BY sequence LIMIT ?",
        (f'$."{EPOCH_PROPERTY}"', f'$."{SEQUENCE_PROPERTY}"', position, FOLD_ROWS),
    ).fetchall()
    if not rows:
        return 0
    touched: dict[tuple[str, str, str], tuple[int, Account]] = {}
    for sequence, device, module, epoch, number in rows:
        if not _numbered(epoch, number):
            continue
        key = (device, module, epoch)
        account = touched[key][1] if key in touched else _load(connection, key)
        touched[key] = (sequence, account.arrived(int(number)))
    for key, (sequence, account) in touched.items():
        _save(connection, key, sequence, account)
    connection.execute("UPDATE ledger_position SET sequence = ?", (rows[-1][0],))
    return len(rows)


def _numbered(epoch: object, number: object) -> bool:
    return (
        isinstance(epoch, str)
        and isinstance(number, str)
        and 0 < len(epoch) <= EPOCH_CHARS_MAX
        and number.isascii()
        and number.isdecimal()
        and len(number) <= NUMBER_DIGITS_MAX
        and int(number) > 0
    )


_COLUMNS = "highest, received, duplicates, reordered, given_up, missing"


def _load(connection: sqlite3.Connection, key: tuple[str, str, str]) -> Account:
    # Only our own column names are put into the text.
    sql = f"SELECT {_COLUMNS} FROM ledger WHERE device = ? AND module = ? AND epoch = ?"
    row = connection.execute(sql, key).fetchone()
    return Account() if row is None else _account(row)


def _save(connection: sqlite3.Connection, key: tuple[str, str, str], sequence: int, account: Account) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *key,
            account.highest,
            account.received,
            account.duplicates,
            account.reordered,
            account.given_up,
            json.dumps(account.missing),
            sequence,
        ),
    )
    connection.execute(
        "DELETE FROM ledger WHERE device = ?1 AND module = ?2 AND epoch NOT IN (SELECT epoch FROM ledger"
        " WHERE device = ?1 AND module = ?2 ORDER BY last_sequence DESC LIMIT ?3)",
        (key[0], key[1], EPOCHS_MAX),
    )


def _entries(connection: sqlite3.Connection, device: str | None) -> Iterator[Entry]:
    sql = (
        f"SELECT device, module, epoch, {_COLUMNS} FROM ledger WHERE device = coalesce(?, device)"
        " ORDER BY device, module, last_sequence"
    )
    for name, module, epoch, *row in connection.execute(sql, (device,)):
        sender = Identity(DeviceId(name), ModuleId(module) if module else None)
        yield Entry(sender, epoch, _account(tuple(row)))


def _account(row: tuple[int, int, int, int, int, str]) -> Account:
    missing = tuple((first, last) for first, last in json.loads(row[5]))
    return Account(row[0], row[1], row[2], row[3], row[4], missing)
