"""COUNT, SUM and their kin with GROUP BY, as one SQL statement (contract §7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skerry.contract.query_expression import UNDEFINED, Aggregate, Column, Query
from skerry.contract.query_values import plain, unkey
from skerry.hub.query_sql import Compiler, Sql, join, listed

# ``total`` is a SUM of doubles, which never overflows as that of integers does; without numbers it is NULL.
_FUNCTIONS = {
    "COUNT": "count(*)",
    "AVG": "avg(CAST({} AS REAL))",
    "SUM": "CASE WHEN count({}) > 0 THEN total({}) END",
    "MIN": "min({})",
    "MAX": "max({})",
}


def group_statement(
    query: Query, compiler: Compiler, source: str, limit: int = -1, offset: int = 0, rows: str = "1"
) -> Sql:
    """The statement whose rows ``group_rows`` reads; ``source`` goes behind FROM, ``rows`` behind WHERE."""
    keys = [compiler.group_key(path) for path in query.groups]
    columns = [*keys, *(_aggregate(p, compiler) for p in query.projections if isinstance(p, Aggregate))]
    if query.top is not None:
        left = max(query.top - offset, 0)
        limit = left if limit < 0 else min(limit, left)
    order = ", ".join(str(at) for at in range(1, len(keys) + 1))
    tail = f" GROUP BY {order} ORDER BY {order}" if keys else ""
    statement = join(
        f"SELECT {{}} FROM {source} WHERE {rows} AND {{}}{tail} LIMIT ? OFFSET ?",
        listed(columns),
        compiler.condition(query.condition),
    )
    return statement.plus((limit, offset))


def group_rows(query: Query, rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """The rows of the statement as the query's result; what is undefined is left out."""
    return [_row(query, row) for row in rows]


def _row(query: Query, row: Sequence[Any]) -> dict[str, Any]:
    keys = dict(zip(query.groups, row, strict=False))
    numbers = iter(row[len(query.groups) :])
    values: dict[str, Any] = {}
    for projection in query.projections:
        if isinstance(projection, Column):
            value = unkey(keys[projection.path])
        else:
            number = next(numbers)
            value = UNDEFINED if number is None else plain(number)
        if value is not UNDEFINED:
            values[projection.name] = value
    return values


def _aggregate(aggregate: Aggregate, compiler: Compiler) -> Sql:
    template = _FUNCTIONS[aggregate.function]
    if aggregate.path is None:
        return Sql(template)
    number = compiler.number(aggregate.path)
    return Sql("NULL") if number is None else join(template, *[number] * template.count("{}"))
