"""The query language over documents in memory: what a query answers, row by row (contract.md §7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from skerry.contract.query_expression import UNDEFINED, Aggregate, Collection, Column, Expression, Path, Query
from skerry.contract.query_syntax import parse_condition, parse_query, parse_source
from skerry.contract.query_tokens import QuerySyntaxError
from skerry.contract.query_values import Document, Key, holds, is_number, key, plain, resolve, unkey

__all__ = [
    "Collection",
    "Document",
    "Expression",
    "Query",
    "QuerySyntaxError",
    "group_order",
    "holds",
    "parse_condition",
    "parse_query",
    "parse_target",
    "project",
    "run",
]

ALL_TARGETS = "*"


def parse_target(text: str) -> Query | None:
    """The devices or modules a target condition names; ``None`` for an empty one, which names none.

    ``*`` is every device. A condition on modules begins with ``FROM devices.modules`` (contract.md §6.11).
    Raises QuerySyntaxError.
    """
    stripped = text.strip()
    if not stripped:
        return None
    if stripped == ALL_TARGETS:
        return Query(Collection.DEVICES)
    if stripped.split(maxsplit=1)[0].upper() == "FROM":
        return parse_source(text)
    return Query(Collection.DEVICES, condition=parse_condition(text))


def run(query: Query, documents: Iterable[Document]) -> list[dict[str, Any]]:
    """The rows a query answers over these documents, in their order; groups are in order of their keys."""
    chosen = (document for document in documents if holds(query.condition, document))
    rows = _groups(query, chosen) if query.aggregates else (project(query, d) for d in chosen)
    return list(islice(rows, query.top))


def project(query: Query, document: Document) -> dict[str, Any]:
    """The row of one document; what it has not got is left out."""
    if not query.projections:
        return dict(document)
    values = {column.name: resolve(column.path, document) for column in query.projections if column.path}
    return {name: value for name, value in values.items() if value is not UNDEFINED}


def group_order(keys: Sequence[Key]) -> tuple[tuple[int, Any], ...]:
    """Sorts groups as SQLite does: undefined, then numbers, then text."""
    return tuple((0, 0) if k is None else (2, k) if isinstance(k, str) else (1, k) for k in keys)


def _groups(query: Query, documents: Iterable[Document]) -> Iterator[dict[str, Any]]:
    members: dict[tuple[Key, ...], list[Document]] = {}
    if not query.groups:
        members[()] = []
    for document in documents:
        keys = tuple(_group_key(path, document) for path in query.groups)
        members.setdefault(keys, []).append(document)
    for keys in sorted(members, key=group_order):
        by_path = dict(zip(query.groups, keys, strict=True))
        values = {p.name: _cell(p, by_path, members[keys]) for p in query.projections}
        yield {name: value for name, value in values.items() if value is not UNDEFINED}


def _group_key(path: Path, document: Document) -> Key:
    value = resolve(path, document)
    # Objects and arrays have no order and no short name: they group with what is undefined.
    return None if isinstance(value, dict | list) else key(value)


def _cell(projection: Column | Aggregate, keys: dict[Path, Key], documents: Sequence[Document]) -> Any:
    if isinstance(projection, Column):
        return unkey(keys[projection.path])
    if projection.path is None:
        return len(documents)
    values = [resolve(projection.path, document) for document in documents]
    return _aggregate(projection.function, [value for value in values if is_number(value)])


def _aggregate(function: str, numbers: Sequence[float]) -> Any:
    """UNDEFINED without numbers, as there is nothing to say then."""
    if not numbers:
        return UNDEFINED
    match function:
        case "MIN":
            return plain(min(numbers))
        case "MAX":
            return plain(max(numbers))
        case "SUM":
            return plain(sum(map(float, numbers)))
    return plain(sum(map(float, numbers)) / len(numbers))
