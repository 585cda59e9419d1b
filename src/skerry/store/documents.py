"""Small JSON documents by key."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from skerry.store.database import Database

Json = Any

# A migration to put into the list given to ``Database.open``.
DOCUMENTS = """
CREATE TABLE document (
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (collection, key)
) WITHOUT ROWID;
"""


class Documents:
    """One named collection of documents in a database that has the ``DOCUMENTS`` migration."""

    def __init__(self, database: Database, collection: str) -> None:
        self._database = database
        self._collection = collection

    def get(self, key: str) -> Json | None:
        """The document, or None. One row by its key: quick enough for the event loop."""
        row = self._database.read_now(
            lambda connection: connection.execute(
                "SELECT value FROM document WHERE collection = ? AND key = ?", (self._collection, key)
            ).fetchone()
        )
        return None if row is None else json.loads(row[0])

    async def put(self, key: str, value: Json) -> None:
        """Store the document durably, replacing what was there."""
        await self.put_all({key: value})

    async def put_all(self, documents: Mapping[str, Json]) -> None:
        """Store all of them or none."""
        rows = [(self._collection, key, _dump(value)) for key, value in documents.items()]
        await self._database.write(lambda connection: _upsert(connection, rows))

    async def delete(self, key: str) -> bool:
        """Whether there was one to delete."""
        return await self._database.write(
            lambda connection: (
                connection.execute(
                    "DELETE FROM document WHERE collection = ? AND key = ?", (self._collection, key)
                ).rowcount
                > 0
            )
        )

    async def items(self, prefix: str = "") -> list[tuple[str, Json]]:
        """All documents whose key starts with ``prefix``, by key."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT key, value FROM document WHERE collection = ? AND substr(key, 1, ?) = ? ORDER BY key",
                (self._collection, len(prefix), prefix),
            ).fetchall()
        )
        return [(key, json.loads(value)) for key, value in rows]


def _dump(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _upsert(connection: sqlite3.Connection, rows: Sequence[tuple[str, str, str]]) -> None:
    connection.executemany(
        "INSERT INTO document (collection, key, value) VALUES (?, ?, ?)"
        " ON CONFLICT (collection, key) DO UPDATE SET value = excluded.value",
        rows,
    )
