"""Configurations and how each stands with its devices, as rows; everything here runs inside a transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from skerry.contract.configuration import Configuration, Status, configuration_document, parse_configuration
from skerry.contract.names import Identity
from skerry.errors import NotFound
from skerry.hub.subscriptions import key
from skerry.store.storage import Transaction

_COLUMNS = "id, document, created, updated, etag"


def find(connection: Transaction, configuration: str) -> Configuration | None:
    sql = f"SELECT {_COLUMNS} FROM configurations WHERE id = ?"
    row = connection.execute(sql, (configuration,)).fetchone()
    return None if row is None else _configuration(row)


def load(connection: Transaction, configuration: str) -> Configuration:
    """The configuration; raises NotFound."""
    found = find(connection, configuration)
    if found is None:
        raise NotFound(
            f"there is no configuration {configuration[:128]!r}",
            hint="look at its id",
            id=configuration[:128],
            code_name="ConfigurationNotFound",
        )
    return found


def listed(connection: Transaction, top: int = -1) -> list[Configuration]:
    """Configurations by id."""
    sql = f"SELECT {_COLUMNS} FROM configurations ORDER BY id LIMIT ?"
    return [_configuration(row) for row in connection.execute(sql, (top,))]


def save(connection: Transaction, configuration: Configuration) -> None:
    """Create or replace."""
    document = json.dumps(configuration_document(configuration), ensure_ascii=False)
    connection.execute(
        f"INSERT OR REPLACE INTO configurations ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)",
        (configuration.id, document, configuration.created, configuration.updated, configuration.etag),
    )


def delete(connection: Transaction, configuration: str) -> None:
    connection.execute("DELETE FROM configurations WHERE id = ?", (configuration,))


def states(connection: Transaction, identity: Identity) -> dict[str, Status]:
    """What the configurations are to this identity by their ids."""
    sql = "SELECT configuration, status FROM configuration_states WHERE device = ? AND module = ?"
    return {name: Status(status) for name, status in connection.execute(sql, key(identity))}


def save_states(
    connection: Transaction, identity: Identity, statuses: Mapping[str, Status], removed: Sequence[str]
) -> None:
    """Write these states, and drop those of other configurations."""
    connection.executemany(
        "INSERT OR REPLACE INTO configuration_states (device, module, configuration, status)"
        " VALUES (?, ?, ?, ?)",
        [(*key(identity), name, status.value) for name, status in statuses.items()],
    )
    connection.executemany(
        "DELETE FROM configuration_states WHERE device = ? AND module = ? AND configuration = ?",
        [(*key(identity), name) for name in removed],
    )


def digest(connection: Transaction, identity: Identity) -> str | None:
    """Of the content that was last applied to an identity by configurations."""
    sql = "SELECT digest FROM configured WHERE device = ? AND module = ?"
    row = connection.execute(sql, key(identity)).fetchone()
    return None if row is None else str(row[0])


def save_digest(connection: Transaction, identity: Identity, value: str | None) -> None:
    """``None`` forgets it, so that whatever matches next is applied."""
    connection.execute("DELETE FROM configured WHERE device = ? AND module = ?", key(identity))
    if value is not None:
        connection.execute("INSERT INTO configured VALUES (?, ?, ?)", (*key(identity), value))


def _configuration(row: Sequence[Any]) -> Configuration:
    name, document, created, updated, etag = row
    parsed = parse_configuration(json.loads(document), name)
    return replace(parsed, created=created, updated=updated, etag=etag)
