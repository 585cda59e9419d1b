"""Queries over devices, modules and device jobs, page by page (contract §4.5, §7)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.contract.query import Collection, Query, parse_query, project
from skerry.contract.query_expression import Aggregate, Path, paths
from skerry.errors import InvalidInput
from skerry.hub import twin_documents
from skerry.hub.fresh import fresh_key
from skerry.hub.job_rows import device_job
from skerry.hub.owners import Owners
from skerry.hub.query_columns import KEYS, ONLINE, ONLINE_JOIN, ONLINE_MEMBERS, ROWS, SOURCES, places
from skerry.hub.query_groups import group_rows, group_statement
from skerry.hub.query_sql import Compiler, Parameter, Sql
from skerry.hub.twin_documents import Presences
from skerry.store.storage import Storage, Transaction

Json = dict[str, Any]

PAGE_DEFAULT = 100
PAGE_MAX = 1000
ITEM_TYPES = {Collection.DEVICES: "twin", Collection.MODULES: "twin", Collection.JOBS: "deviceJob"}
SIGNATURE_BYTES = 16
_KEY_NAME = "continuation_key"


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of an answer; ``continuation`` None when there are no more."""

    items: list[Json]
    item_type: str
    continuation: str | None


@dataclass(frozen=True, slots=True)
class _Position:
    """How far an answer was read: the key of its last row, or for groups how many."""

    given: int = 0
    after: tuple[str, str] | None = None


class Queries:
    """Each page is one consistent snapshot; a change between pages never shifts the rows of the next."""

    def __init__(self, database: Storage, owners: Owners) -> None:
        self._database = database
        self._owners = owners

    async def prepare(self) -> None:
        """Make, once per hub, the key that seals continuation tokens."""
        sql = "INSERT OR IGNORE INTO about VALUES (?, ?)"
        await self._database.write(
            lambda connection: connection.execute(sql, (_KEY_NAME, fresh_key())).rowcount
        )

    async def page(self, text: str, size: int = PAGE_DEFAULT, continuation: str | None = None) -> Page:
        """The next at most ``size`` rows. Raises InvalidInput: QuerySyntaxError, or a continuation that is
        not one of this query's."""
        query = parse_query(text)
        position = self._opened(text, continuation)
        limit = min(max(size, 1), PAGE_MAX)
        if query.top is not None:
            limit = min(limit, query.top - position.given)
        presences = self._owners.presences()
        read = _read_groups if query.aggregates else _read_rows
        items, after = await self._database.read(
            lambda connection: read(connection, query, presences, limit, position)
        )
        given = position.given + len(items)
        more = after is not None and (query.top is None or given < query.top)
        token = self._sealed(text, _Position(given, after)) if more and after is not None else None
        plain = query.projections or query.aggregates
        return Page(items, "raw" if plain else ITEM_TYPES[query.collection], token)

    async def count(self, query: Query) -> int:
        """How many rows it answers; for a single COUNT() what that counts."""
        presences = self._owners.presences()
        return await self._database.read(lambda connection: _count(connection, query, presences))

    async def identities(self, query: Query) -> list[Identity]:
        """The devices or modules a query is about, by name."""
        presences = self._owners.presences()

        def work(connection: Transaction) -> list[Identity]:
            statement = _keys_statement(query, presences, query.top or -1, None)
            return [_identity(*row) for row in _fetch(connection, statement)]

        return await self._database.read(work)

    def _sealed(self, text: str, position: _Position) -> str:
        said = json.dumps([position.given, position.after], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._signature(text, said) + said).decode()

    def _opened(self, text: str, token: str | None) -> _Position:
        if not token:
            return _Position()
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as exc:
            raise _foreign_token() from exc
        signature, said = raw[:SIGNATURE_BYTES], raw[SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(text, said)):
            raise _foreign_token()
        given, after = json.loads(said)
        return _Position(given, tuple(after))

    def _signature(self, text: str, said: bytes) -> bytes:
        sql = "SELECT value FROM about WHERE key = ?"
        (sealing,) = self._database.read_now(lambda c: c.execute(sql, (_KEY_NAME,)).fetchone())
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        return hmac.digest(sealing.encode(), digest + said, "sha256")[:SIGNATURE_BYTES]


def _foreign_token() -> InvalidInput:
    return InvalidInput(
        "the continuation is not one of this query", hint="ask again without one", field="x-ms-continuation"
    )


def _read_rows(
    connection: Transaction, query: Query, presences: Presences, limit: int, position: _Position
) -> tuple[list[Json], tuple[str, str] | None]:
    # One row more tells whether there is another page.
    keys = _fetch(connection, _keys_statement(query, presences, limit + 1, position.after))
    documents = [_document(connection, query.collection, row, presences) for row in keys[:limit]]
    after = (keys[limit - 1][0], keys[limit - 1][1]) if len(keys) > limit > 0 else None
    return [project(query, document) for document in documents], after


def _document(
    connection: Transaction, collection: Collection, row: Sequence[Any], presences: Presences
) -> Json:
    if collection is Collection.JOBS:
        return device_job(connection, *row)
    return twin_documents.load(connection, _identity(*row)).document(presences)


def _read_groups(
    connection: Transaction, query: Query, presences: Presences, limit: int, position: _Position
) -> tuple[list[Json], tuple[str, str] | None]:
    rows = _fetch(connection, _groups_statement(query, presences, limit + 1, position.given))
    return group_rows(query, rows[:limit]), ("", "") if len(rows) > limit else None


def _count(connection: Transaction, query: Query, presences: Presences) -> int:
    if query.aggregates:
        rows = group_rows(query, _fetch(connection, _groups_statement(query, presences, -1, 0)))
        match query.projections:
            case (Aggregate(name, "COUNT", _),) if not query.groups:
                return int(rows[0][name])
        return len(rows)
    inner = _keys_statement(query, presences, query.top or -1, None)
    with_online = inner.text.startswith("WITH")
    head, text = (ONLINE, inner.text.removeprefix(ONLINE)) if with_online else ("", inner.text)
    statement = Sql(f"{head}SELECT count(*) FROM ({text})", inner.parameters)
    return int(_fetch(connection, statement)[0][0])


def _groups_statement(query: Query, presences: Presences, limit: int, offset: int) -> Sql:
    head, source = _source(query, presences)
    compiler = Compiler(places(query.collection))
    statement = group_statement(query, compiler, source, limit, offset, ROWS[query.collection])
    return Sql(head.text + statement.text, head.parameters + statement.parameters)


def _keys_statement(query: Query, presences: Presences, limit: int, after: tuple[str, str] | None) -> Sql:
    head, source = _source(query, presences)
    condition = Compiler(places(query.collection)).condition(query.condition)
    first, second = KEYS[query.collection]
    beyond = f" AND ({first}, {second}) > (?, ?)" if after else ""
    return Sql(
        f"{head.text}SELECT {first}, {second} FROM {source} WHERE {ROWS[query.collection]}{beyond}"
        f" AND {condition.text} ORDER BY {first}, {second} LIMIT ?",
        (*head.parameters, *(after or ()), *condition.parameters, limit),
    )


def _source(query: Query, presences: Presences) -> tuple[Sql, str]:
    """What goes before SELECT and behind FROM; presence only where the query looks at it."""
    source = SOURCES[query.collection]
    if query.collection is Collection.JOBS or not any(
        path.steps and path.steps[0] in ONLINE_MEMBERS for path in _all_paths(query)
    ):
        return Sql(""), source
    online: Parameter = json.dumps(
        [
            [identity.device, identity.module or "", int(presence.connected), presence.last_activity]
            for identity, presence in presences.items()
        ]
    )
    return Sql(ONLINE, (online,)), source + ONLINE_JOIN


def _all_paths(query: Query) -> list[Path]:
    found = paths(query.condition) if query.condition else []
    return [*found, *query.groups, *(p.path for p in query.projections if p.path)]


def _fetch(connection: Transaction, statement: Sql) -> list[Any]:
    return connection.execute(statement.text, statement.parameters).fetchall()


def _identity(device: str, module: str) -> Identity:
    return Identity(DeviceId(device), ModuleId(module) if module else None)
