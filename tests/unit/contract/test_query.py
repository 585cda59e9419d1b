"""What the query language means, on small documents; §7 of the contract gives the cases."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.contract.query import (
    Collection,
    QuerySyntaxError,
    holds,
    parse_condition,
    parse_query,
    parse_target,
    run,
)
from skerry.contract.query_expression import Literal, Path
from skerry.contract.query_syntax import CONDITIONS_MAX, NESTING_MAX, OPERATORS_MAX, REMAINDERS_MAX
from skerry.contract.query_tokens import QUERY_CHARS_MAX
from skerry.errors import InvalidInput

DOCUMENT: dict[str, Any] = {
    "deviceId": "d",
    "tags": {"room": "a", "n": 5, "on": True, "none": None, "list": [1, "x"], "it's": 1},
    "properties": {"desired": {"$version": 3}, "reported": {"at": {"$version": 3}}},
    "configurations": {"dep-1": {"status": "Applied"}},
}


@pytest.mark.parametrize(
    "condition",
    [
        "tags.room = 'a'",
        'tags.room = "a"',
        "TAGS.ROOM = 'a' OR deviceId = 'd'",
        "tags.n = 5.0 and tags.n >= 5 AND tags.n < 6 and tags.n != 4 and tags.n <> 4",
        "tags.n % 3 = 2 AND -tags.n = -5 AND 1 - 2 - 3 = -4 AND 2 + 3 * 4 = 14 AND (2 + 3) * 4 = 20",
        "8 / 4 / 2 = 1 and 7 / 2 = 3.5 and -7 % 4 = -3",
        "NOT tags.room = 'b'",
        "not tags.room = 'b' and tags.n = 5",
        "tags.room IN ['b', 'a'] AND tags.room NOT IN ['b'] AND tags.room nin ('c')",
        "tags.none = null AND tags.room != null AND is_null(tags.none)",
        "tags.on = true AND tags.on AND NOT tags.on = false",
        "tags.list[1] = 'x' AND array_contains(tags.list, 1) AND NOT array_contains(tags.list, '1')",
        "tags.[[it's]] = 1 AND tags['room'] = 'a'",
        "configurations.[[dep-1]].status = 'Applied' AND configurations[[dep-1]].status = 'Applied'",
        "properties.desired.$version = properties.reported.at.$version",
        "startswith(deviceId, 'd') AND ENDSWITH(deviceId, '') AND Contains(deviceId, 'd')",
        "is_defined(tags) AND NOT is_defined(tags.x) AND is_object(tags) AND is_string(tags.room)",
        "is_number(tags.n) AND is_bool(tags.on) AND NOT is_number(tags.on) AND NOT is_null(tags.x)",
        "'1' != 1 AND NOT '1' = 1 AND NOT true = 1",
        "tags.x = 1 OR deviceId = 'd'",
        "devices.deviceId = 'd' AND c.deviceId = 'd'",
        "is_defined(tags.n) = true",
    ],
)
def test_true_conditions(condition: str) -> None:
    assert holds(parse_condition(condition), DOCUMENT)


@pytest.mark.parametrize(
    "condition",
    [
        "tags.x = 1",
        "tags.x != 1",
        "tags.x IN [1]",
        "tags.x > 1",
        "tags.room > 1",
        "tags.on > false",
        "startswith(tags.n, '5')",
        "array_contains(tags.room, 'a')",
        "tags.n / 0 = 1",
        "tags.room + 1 = 1",
        "tags = properties",
        "tags.room AND true",
    ],
)
def test_what_is_undefined_is_not_true_and_neither_is_its_opposite(condition: str) -> None:
    assert not holds(parse_condition(condition), DOCUMENT)
    assert not holds(parse_condition(f"NOT ({condition})"), DOCUMENT)


@pytest.mark.parametrize(
    ("query", "position"),
    [
        ("", 0),
        ("x", 0),
        ("SELECT * FROM device", 14),
        ("SELECT * FROM devices.twins", 14),
        ("SELECT * devices", 9),
        ("SELECT FROM devices", 7),
        ("SELECT a b FROM devices", 9),
        ("SELECT a, FROM devices", 10),
        ("SELECT * FROM devices WHERE", 27),
        ("SELECT * FROM devices WHERE a = 'x", 32),
        ("SELECT * FROM devices WHERE a == 1", 31),
        ("SELECT * FROM devices WHERE a = 1 b", 34),
        ("SELECT * FROM devices WHERE a IN b", 33),
        ("SELECT * FROM devices WHERE a IN [b]", 34),
        ("SELECT * FROM devices WHERE (a = 1", 34),
        ("SELECT * FROM devices WHERE what(a)", 28),
        ("SELECT * FROM devices WHERE contains(a, 1)", 40),
        ("SELECT * FROM devices WHERE a[x] = 1", 30),
        ("SELECT * FROM devices WHERE a = 1e999", 32),
        ('SELECT * FROM devices WHERE a.[["]] = 1', 32),
        ("SELECT TOP 0 * FROM devices", 11),
        ("SELECT TOP x * FROM devices", 11),
        ("SELECT a, COUNT() FROM devices", 7),
        ("SELECT * FROM devices GROUP BY a", 7),
        ("SELECT a AS x, b AS x FROM devices", 20),
        ("SELECT * FROM devices GROUP a", 28),
        ("SELECT * FROM devices ORDER BY a", 28),
    ],
)
def test_errors_name_the_position(query: str, position: int) -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        parse_query(query)
    assert caught.value.fields["position"] == position


@pytest.mark.parametrize(
    "condition",
    [
        "a" * (QUERY_CHARS_MAX + 1),
        "(" * (NESTING_MAX + 1) + "a" + ")" * (NESTING_MAX + 1),
        "NOT " * (NESTING_MAX + 1) + "a",
        "- " * (NESTING_MAX + 1) + "a",
        " AND ".join(["a"] * (CONDITIONS_MAX + 2)),
        "+".join(["a"] * (OPERATORS_MAX + 2)),
        "%".join(["a"] * (REMAINDERS_MAX + 2)),
        ".".join(["a"] * 40),
        f"a IN [{','.join(['1'] * 1001)}]",
    ],
)
def test_everything_is_bounded(condition: str) -> None:
    with pytest.raises(QuerySyntaxError):
        parse_condition(condition)


@given(st.text(max_size=60) | st.text(alphabet="selctfromdvi *()[]'\"=.,-0189$ANDORT", max_size=60))
def test_any_text_is_a_query_or_a_syntax_error(text: str) -> None:
    for parse in (parse_query, parse_condition, parse_target):
        position = 0
        try:
            parse(text)
        except InvalidInput as exc:
            position = int(str(exc.fields["position"]))
        assert 0 <= position <= len(text)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_string_can_be_written_as_a_constant(text: str) -> None:
    quoted = text.replace("'", "''")
    assert parse_condition(f"'{quoted}'") == Literal(text)


def test_projections_name_their_columns() -> None:
    query = parse_query("SELECT deviceId, tags.room AS r, tags.x, a.room, b.room AS 'the room' FROM devices")
    assert [column.name for column in query.projections] == ["deviceId", "r", "x", "room", "the room"]
    assert run(query, [DOCUMENT]) == [{"deviceId": "d", "r": "a"}]
    counted = parse_query("SELECT a.n, COUNT() AS n, COUNT() AS m FROM devices GROUP BY a.n")
    assert [column.name for column in counted.projections] == ["a.n", "n", "m"]
    thrice = parse_query("SELECT a, a, a FROM devices")
    assert [column.name for column in thrice.projections] == ["a", "a 2", "a 3"]
    clash = parse_query("SELECT properties.desired.$version, properties.reported.at.$version FROM devices")
    assert run(clash, [DOCUMENT]) == [{"$version": 3, "properties.reported.at.$version": 3}]


def test_groups_are_counted_and_measured() -> None:
    documents = [{"room": r, "n": n} for r, n in [("b", 1), ("a", 2), ("b", 4), ("a", "x"), (None, 0.5)]]
    query = parse_query("SELECT room, COUNT() AS n, AVG(n) AS m, SUM(n) AS s FROM devices GROUP BY room")
    assert run(query, [*documents, {"n": 1}]) == [
        {"n": 1, "m": 1, "s": 1},
        {"room": None, "n": 1, "m": 0.5, "s": 0.5},
        {"room": "a", "n": 2, "m": 2, "s": 2},
        {"room": "b", "n": 2, "m": 2.5, "s": 5},
    ]
    assert run(parse_query("SELECT COUNT() AS n, MIN(a) AS a FROM devices"), []) == [{"n": 0}]
    assert run(parse_query("SELECT count(), max(n) FROM devices"), documents) == [{"count": 5, "max": 4}]


def test_targets_are_conditions_all_or_nobody() -> None:
    assert parse_target("  ") is None
    everyone, some = parse_target("*"), parse_target("tags.a='b'")
    assert everyone is not None
    assert everyone.condition is None
    assert some is not None
    assert holds(some.condition, {"tags": {"a": "b"}})
    modules = parse_target("from devices.modules where moduleId='m'")
    assert modules is not None
    assert modules.collection is Collection.MODULES


def test_an_alias_stands_before_every_path() -> None:
    query = parse_query("SELECT d.deviceId FROM devices AS d WHERE d.tags.a = 1 AND tags.b = 2")
    assert query.projections[0].path == Path(("deviceId",))
    assert run(query, [{"deviceId": "x", "tags": {"a": 1, "b": 2}}]) == [{"deviceId": "x"}]
