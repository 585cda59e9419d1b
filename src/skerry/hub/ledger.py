"""What arrived of what every sender sent: exact accounts of loss, repetition, order and alteration.

An edge device numbers each sender's messages from 1 (``skerry-seq``) within the life of its store
(``skerry-epoch``), and each names the digest of the one before (``skerry-prev``); see docs/decisions/0004.
The accounts are a projection of the telemetry log: brought up to date when somebody asks and before the log
is trimmed, so that storing a message costs nothing more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from skerry.contract.chain import EPOCH_PROPERTY, SEQUENCE_PROPERTY, link_of
from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.hub.account import Account
from skerry.store.storage import Storage, Transaction

# Rows of the log folded in one transaction, so that devices do not wait for it.
FOLD_ROWS = 2_000
# A sender that names ever new epochs does not fill the disk: those it used last are kept.
EPOCHS_MAX = 16
EPOCH_CHARS_MAX = 64
NUMBER_DIGITS_MAX = 15


@dataclass(frozen=True, slots=True)
class Entry:
    """An account with whose it is."""

    sender: Identity
    epoch: str
    account: Account


class Ledger:
    """The accounts of all senders, durable; it reads the telemetry log they are about."""

    def __init__(self, database: Storage) -> None:
        self._database = database

    async def fold(self) -> None:
        """Take everything into account that the log holds now. Raises StorageFull."""
        while await self._database.write(_fold) == FOLD_ROWS:
            pass

    async def entries(self, device: str | None = None) -> Sequence[Entry]:
        """The accounts, of one device or of all, up to date."""
        await self.fold()
        return await self._database.read(lambda connection: list(_entries(connection, device)))


def _fold(connection: Transaction) -> int:
    (position,) = connection.execute("SELECT sequence FROM ledger_position").fetchone()
    rows = connection.execute(
        "SELECT sequence, device, module, properties, system, body FROM telemetry"
        " WHERE sequence > ? ORDER BY sequence LIMIT ?",
        (position, FOLD_ROWS),
    )
    seen = 0
    touched: dict[tuple[str, str, str], tuple[int, Account]] = {}
    for sequence, device, module, text, system, body in rows:
        seen, position = seen + 1, sequence
        # Most rows of a device without an edge hub have no number: looking is cheaper than reading.
        if SEQUENCE_PROPERTY not in text:
            continue
        properties = json.loads(text)
        epoch, number = properties.get(EPOCH_PROPERTY), properties.get(SEQUENCE_PROPERTY)
        if not _numbered(epoch, number):
            continue
        key = (device, module, epoch)
        account = touched[key][1] if key in touched else _load(connection, key)
        link = link_of(int(number), properties, json.loads(system), body)
        touched[key] = (sequence, account.arrived(int(number), link))
    for key, (sequence, account) in touched.items():
        _save(connection, key, sequence, account)
    if seen:
        connection.execute("UPDATE ledger_position SET sequence = ?", (position,))
    return seen


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


_COLUMNS = "highest, received, duplicates, reordered, given_up, missing, proven, altered, ends"


def _load(connection: Transaction, key: tuple[str, str, str]) -> Account:
    # Only our own column names are put into the text.
    sql = f"SELECT {_COLUMNS} FROM ledger WHERE device = ? AND module = ? AND epoch = ?"
    row = connection.execute(sql, key).fetchone()
    return Account() if row is None else _account(row)


def _save(connection: Transaction, key: tuple[str, str, str], sequence: int, account: Account) -> None:
    connection.execute(
        f"INSERT OR REPLACE INTO ledger (device, module, epoch, {_COLUMNS}, last_sequence)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *key,
            account.highest,
            account.received,
            account.duplicates,
            account.reordered,
            account.given_up,
            json.dumps(account.missing),
            account.proven,
            account.altered,
            json.dumps(account.ends),
            sequence,
        ),
    )
    connection.execute(
        "DELETE FROM ledger WHERE device = ?1 AND module = ?2 AND epoch NOT IN (SELECT epoch FROM ledger"
        " WHERE device = ?1 AND module = ?2 ORDER BY last_sequence DESC LIMIT ?3)",
        (key[0], key[1], EPOCHS_MAX),
    )


def _entries(connection: Transaction, device: str | None) -> Iterator[Entry]:
    sql = (
        f"SELECT device, module, epoch, {_COLUMNS} FROM ledger WHERE device = coalesce(?, device)"
        " ORDER BY device, module, last_sequence"
    )
    for name, module, epoch, *row in connection.execute(sql, (device,)):
        sender = Identity(DeviceId(name), ModuleId(module) if module else None)
        yield Entry(sender, epoch, _account(tuple(row)))


def _account(row: tuple[int, int, int, int, int, str, int, int, str]) -> Account:
    missing = tuple((first, last) for first, last in json.loads(row[5]))
    ends = tuple((number, text, own) for number, text, own in json.loads(row[8]))
    return Account(row[0], row[1], row[2], row[3], row[4], missing, row[6], row[7], ends)
