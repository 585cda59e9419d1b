"""Twins as rows of the database; everything here runs inside a transaction."""

from __future__ import annotations

import json

from skerry.contract.names import Identity
from skerry.contract.twin import Section, Twin, empty_section
from skerry.errors import NotFound
from skerry.hub.fresh import fresh_etag
from skerry.hub.subscriptions import key
from skerry.store.storage import Transaction

COLUMNS = (
    "tags, desired, desired_metadata, desired_version, reported, reported_metadata, reported_version,"
    " version, etag"
)


def create(connection: Transaction, identity: Identity, now: str) -> Twin:
    """The first twin of a new identity: both sections empty at version 1 (contract §4.3)."""
    twin = Twin(
        tags={}, desired=empty_section(now), reported=empty_section(now), version=1, etag=fresh_etag()
    )
    connection.execute(
        f"INSERT INTO twins (device, module, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*key(identity), *_values(twin)),
    )
    return twin


def load(connection: Transaction, identity: Identity) -> Twin:
    """The identity's twin; raises NotFound."""
    # The columns are a constant of ours.
    sql = f"SELECT {COLUMNS} FROM twins WHERE device = ? AND module = ?"
    row = connection.execute(sql, key(identity)).fetchone()
    if row is None:
        raise NotFound(
            f"{identity.client_id} is not registered", hint="create it first", id=identity.client_id
        )
    tags, desired, desired_meta, desired_version, reported, reported_meta, reported_version, version, etag = (
        row
    )
    return Twin(
        tags=json.loads(tags),
        desired=Section(json.loads(desired), json.loads(desired_meta), desired_version),
        reported=Section(json.loads(reported), json.loads(reported_meta), reported_version),
        version=version,
        etag=etag,
    )


def save(connection: Transaction, identity: Identity, twin: Twin) -> None:
    """Write back a twin that ``load`` gave in this transaction."""
    assignments = ", ".join(f"{column} = ?" for column in COLUMNS.split(", "))
    connection.execute(
        f"UPDATE twins SET {assignments} WHERE device = ? AND module = ?", (*_values(twin), *key(identity))
    )


def _values(twin: Twin) -> tuple[str | int, ...]:
    return (
        _text(twin.tags),
        _text(twin.desired.values),
        _text(twin.desired.metadata),
        twin.desired.version,
        _text(twin.reported.values),
        _text(twin.reported.metadata),
        twin.reported.version,
        twin.version,
        twin.etag,
    )


def _text(document: dict[str, object]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
