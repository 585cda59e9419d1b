"""The query language as SQL answers what it answers in memory, over any documents."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import example, given, settings

from skerry.contract.query import parse_condition, parse_query, run
from skerry.contract.query_expression import Path, Query
from skerry.contract.query_syntax import CONDITIONS_MAX, NESTING_MAX, OPERATORS_MAX, REMAINDERS_MAX
from skerry.contract.query_values import evaluate
from skerry.hub.query_groups import group_rows, group_statement
from skerry.hub.query_sql import Compiler, JsonPlace, Place
from skerry.store.connection import add_functions
from tests.unit.contract.queries import CONDITIONS, DOCUMENTS, grouped

Json = dict[str, Any]


def places(path: Path) -> Place:
    return JsonPlace("doc", path.steps)


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as opened:
        opened.execute("CREATE TABLE docs (n INTEGER PRIMARY KEY, doc TEXT NOT NULL)")
        add_functions(opened)
        yield opened


def store(connection: sqlite3.Connection, documents: list[Json]) -> None:
    connection.execute("DELETE FROM docs")
    rows = [(json.dumps(document, ensure_ascii=False),) for document in documents]
    connection.executemany("INSERT INTO docs (doc) VALUES (?)", rows)


@settings(max_examples=400, deadline=None)
@given(DOCUMENTS, CONDITIONS)
@example([{"a": 7}], "a % 2 = 1")
@example([{"a": {}, "b": []}], "NOT (a = b)")
def test_a_condition_has_the_same_truth_in_sql_and_in_memory(
    connection: sqlite3.Connection, documents: list[Json], text: str
) -> None:
    store(connection, documents)
    condition = parse_condition(text)
    sql = Compiler(places).truth(condition)
    # The values themselves are compared, so that undefined and false are not confused.
    found = connection.execute(f"SELECT {sql.text} FROM docs ORDER BY n", sql.parameters).fetchall()
    truths = [evaluate(condition, document) for document in documents]
    assert [row[0] for row in found] == [t if isinstance(t, bool) else None for t in truths]


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, grouped())
def test_groups_and_aggregates_are_the_same_in_sql_and_in_memory(
    connection: sqlite3.Connection, documents: list[Json], text: str
) -> None:
    store(connection, documents)
    query = parse_query(text)
    assert sql_groups(connection, query) == run(query, documents)


def sql_groups(connection: sqlite3.Connection, query: Query) -> list[Json]:
    statement = group_statement(query, Compiler(places), "docs")
    return group_rows(query, connection.execute(statement.text, statement.parameters).fetchall())


def nested(before: str, after: str, inner: str, levels: int = NESTING_MAX) -> str:
    return before * levels + inner + after * levels


REMAINDERS = "b % " * (REMAINDERS_MAX - 1) + "(b % "


@pytest.mark.parametrize(
    "text",
    [
        " OR ".join(["a = 1"] * CONDITIONS_MAX),
        nested("(a = 1 AND ", ")", "true"),
        nested("NOT (a = 1 OR ", ")", "true", NESTING_MAX // 2),
        nested("NOT ", "", "a = 1"),
        nested("(a = ", ")", "b"),
        nested("(", " IN [1, true])", "b"),
        nested("(a + ", ")", "b"),
        nested("(a - ", ") * 2", "b"),
        nested("-", "", "b"),
        "a = " + " + ".join(["b"] * OPERATORS_MAX),
        "a = " + REMAINDERS + nested("(a = ", ")", "b", NESTING_MAX - 1) + ")",
        nested("(a = ", ")", REMAINDERS + "b)", NESTING_MAX - 1),
        nested("(a = b AND a = ", ")", REMAINDERS + "b)", NESTING_MAX - 1),
        "a IN [" + ", ".join(["'x'"] * 1000) + "]",
    ],
)
def test_the_largest_legal_conditions_run_in_sql(connection: sqlite3.Connection, text: str) -> None:
    store(connection, [{"a": 1, "b": 1}])
    sql = Compiler(places).truth(parse_condition(text))
    assert len(connection.execute(f"SELECT {sql.text} FROM docs", sql.parameters).fetchall()) == 1


def test_values_are_never_part_of_the_statement() -> None:
    evil = "'; DROP TABLE docs; --"
    sql = Compiler(places).truth(parse_condition(f"a = '{evil[1:]}' AND contains(b.[[c) d]], '{evil[1:]}')"))
    assert "DROP" not in sql.text
    assert "c) d" not in sql.text
