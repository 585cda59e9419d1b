"""What conditions come to, one row per operator and function."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.contract.message import Message
from skerry.contract.names import DeviceId, Identity
from skerry.contract.route import TWIN_CHANGE_SOURCE, matches, matching, parse_route, telemetry_source
from skerry.contract.route_expression import UNDEFINED, Value
from skerry.contract.route_syntax import CONDITION_DEPTH_MAX, NESTING_MAX
from skerry.contract.route_values import FUNCTIONS, Scope, evaluate

BODY = {"n": 5, "s": "x", "t": True, "z": None, "o": {}, "a": [1, {"b": "deep"}], "big": 10**400}
JSON_MESSAGE = Message(
    json.dumps(BODY).encode(),
    {"p": "v", "num": "21.5", "null": None, "$special": "app", "a-b": "dash"},
    {
        "contentType": "application/json",
        "contentEncoding": "utf-8",
        "connectionModuleId": "cam",
        "special": "sys",
    },
)


def value(text: str, message: Message = JSON_MESSAGE, source: str = "/messages") -> Value:
    route = parse_route(f"FROM /* WHERE {text} INTO $upstream")
    assert route.condition is not None
    return evaluate(route.condition, Scope(source, message))


T, F, U, N = True, False, UNDEFINED, None
TABLE: list[tuple[str, Value]] = [
    ("1 + 2", 3.0),
    ("1 - 2", -1.0),
    ("2 * 3", 6.0),
    ("7 / 2", 3.5),
    ("-7 % 3", -1.0),
    ("1 / 0", U),
    ("1 % 0", U),
    ("1e308 * 10", U),
    ("1 + '2'", U),
    ("1 + null", U),
    ("1 + undefined", U),
    ("true + 1", U),
    ("-p", U),
    ("-true", U),
    ("- 3", -3.0),
    ("0x10", 16.0),
    ("2 + 3 * 4", 14.0),
    ("(2 + 3) * 4", 20.0),
    ("'a' || 'b'", "ab"),
    ("'a' || 1", U),
    ("'a' || undefined", U),
    ("1 = 1.0", T),
    ("1 = 2", F),
    ("'a' = 'a'", T),
    ("'a' = 'A'", F),
    ("true = true", T),
    ("null = null", T),
    ("1 = '1'", U),
    ("null = 1", U),
    ("undefined = undefined", U),
    ("true = 1", U),
    ("missing = 'x'", U),
    ("1 != 2", T),
    ("1 <> 1", F),
    ("'a' != 'b'", T),
    ("missing != 'x'", U),
    ("null != null", F),
    ("1 < 2", T),
    ("2 <= 2", T),
    ("'a' < 'b'", T),
    ("'b' >= 'a'", T),
    ("2 > 2", F),
    ("true < false", U),
    ("null < null", U),
    ("'1' < 2", U),
    ("num > 20", U),
    ("as_number(num) > 20", T),
    ("true AND true", T),
    ("true AND false", F),
    ("false AND undefined", F),
    ("undefined AND false", F),
    ("true AND undefined", U),
    ("undefined AND true", U),
    ("true AND 'x'", U),
    ("true AND null", U),
    ("true OR undefined", T),
    ("undefined OR true", T),
    ("false OR undefined", U),
    ("false OR false", F),
    ("undefined OR undefined", U),
    ("'x' OR false", U),
    ("NOT true", F),
    ("NOT false", T),
    ("NOT undefined", U),
    ("NOT null", U),
    ("NOT 'x'", U),
    ("NOT 1", U),
    ("undefined ?? 1", 1.0),
    ("missing ?? 'd'", "d"),
    ("p ?? 'd'", "v"),
    ("null ?? 1", N),
    ("false ?? true", F),
    ("p", "v"),
    ("P", U),
    ("a-b", "dash"),
    ("null_", U),
    ("missing", U),
    ("$connectionModuleId", "cam"),
    ("$CONNECTIONMODULEID", "cam"),
    ("$nothing", U),
    ("$special", "app"),
    ("{$special}", "app"),
    ("{$connectionModuleId}", U),
    ("$body.n", 5.0),
    ("$body.s", "x"),
    ("$body.t", T),
    ("$body.z", N),
    ("$body.o", U),
    ("$body.a", U),
    ("$body", U),
    ("$body.a[0]", 1.0),
    ("$body.a[1].b", "deep"),
    ("$body.a[9]", N),
    ("$body.missing", N),
    ("$body.s.x", N),
    ("$body.n[0]", N),
    ("$body.big", U),
    ("$body.n * 2", 10.0),
    ("$body.missing = null", T),
    ("abs(-2)", 2.0),
    ("ceiling(1.2)", 2.0),
    ("floor(-1.2)", -2.0),
    ("exp(0)", 1.0),
    ("exp(1000)", U),
    ("power(2, 10)", 1024.0),
    ("power(-1, 0.5)", U),
    ("power(10, 400)", U),
    ("sign(-3)", -1.0),
    ("sign(0)", 0.0),
    ("sign(3)", 1.0),
    ("sqrt(9)", 3.0),
    ("sqrt(-1)", U),
    ("square(3)", 9.0),
    ("abs('x')", U),
    ("ABS(-1)", 1.0),
    ("concat('a', 'b', p)", "abv"),
    ("concat('a', 1)", U),
    ("contains('abc', 'b')", T),
    ("contains('abc', 'z')", F),
    ("contains(missing, 'b')", U),
    ("ends_with('abc', 'bc')", T),
    ("starts_with('abc', 'bc')", F),
    ("index_of('abc', 'c')", 2.0),
    ("index_of('abc', 'z')", -1.0),
    ("length('abc')", 3.0),
    ("length(1)", U),
    ("lower('AbC')", "abc"),
    ("upper('AbC')", "ABC"),
    ("substring('abcd', 1)", "bcd"),
    ("substring('abcd', 1, 2)", "bc"),
    ("substring('abcd', 1, 99)", "bcd"),
    ("substring('abcd', 4)", ""),
    ("substring('abcd', 5)", U),
    ("substring('abcd', -1)", U),
    ("substring('abcd', 1.5)", U),
    ("substring('abcd', 0, -1)", U),
    ("substring('abcd', 0, 0.5)", U),
    ("substring(1, 0)", U),
    ("as_number('1e3')", 1000.0),
    ("as_number(' 7 ')", 7.0),
    ("as_number('inf')", U),
    ("as_number('1_0')", U),
    ("as_number('1e999')", U),
    ("as_number(4)", 4.0),
    ("as_number(true)", U),
    ("as_number(null)", U),
    ("is_bool(true)", T),
    ("is_bool(1)", F),
    ("is_bool(missing)", F),
    ("is_defined(p)", T),
    ("is_defined(missing)", F),
    ("is_defined(null)", T),
    ("is_null(null)", T),
    ("is_null(missing)", F),
    ("is_null($body.missing)", T),
    ("is_number(1)", T),
    ("is_number('1')", F),
    ("is_string(p)", T),
    ("is_string(null)", F),
    ("is_string(undefined)", F),
    ("twin_change_includes(n)", F),
    ("twin_change_includes(1)", U),
]


@pytest.mark.parametrize(("text", "expected"), TABLE, ids=[text for text, _ in TABLE])
def test_value(text: str, expected: Value) -> None:
    found = value(text)
    assert (type(found), found) == (type(expected), expected)


def test_every_function_is_in_the_table() -> None:
    used = {name for name in FUNCTIONS for text, _ in TABLE if f"{name}(" in text.lower()}
    assert used == set(FUNCTIONS)


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-16", "utf-32"])
def test_body_is_read_in_its_encoding(encoding: str) -> None:
    system = {"contentType": "application/JSON; charset=x", "contentEncoding": encoding}
    assert value("$body.ä = 'ö'", Message(json.dumps({"ä": "ö"}).encode(encoding), {}, system)) is True


@pytest.mark.parametrize(
    ("body", "content_type", "encoding"),
    [
        (b'{"n":1}', "text/plain", "utf-8"),
        (b'{"n":1}', "application/json", "latin-1"),
        (b'{"n":1}', "application/json", ""),
        (b"\xff", "application/json", "utf-8"),
        (b"{", "application/json", "utf-8"),
        (b'{"n":NaN}', "application/json", "utf-8"),
        (b"[" * 100_000, "application/json", "utf-8"),
    ],
)
def test_body_that_is_not_declared_readable_json_is_undefined(
    body: bytes, content_type: str, encoding: str
) -> None:
    message = Message(body, {}, {"contentType": content_type, "contentEncoding": encoding})
    assert value("$body.n", message) is UNDEFINED


def test_twin_change_includes_looks_at_notices_only() -> None:
    notice = Message(
        b'{"properties":{"reported":{"a":{"b":null}}}}',
        {},
        {"contentType": "application/json", "contentEncoding": "utf-8"},
    )
    for path, includes in [
        ("properties.reported.a", True),
        ("properties.reported.a.b", True),
        ("tags", False),
    ]:
        assert value(f"twin_change_includes({path})", notice, TWIN_CHANGE_SOURCE) is includes
        assert value(f"twin_change_includes('{path}')", notice, TWIN_CHANGE_SOURCE) is includes
        assert value(f"twin_change_includes({path})", notice, "/messages") is False


@pytest.mark.parametrize(
    ("source", "path", "taken"),
    [
        ("/*", "/messages", True),
        ("/*", TWIN_CHANGE_SOURCE, True),
        ("/messages/*", "/messages", True),
        ("/messages", "/messages/modules/m/outputs/o", True),
        ("/messages/*", "/messages/modules/m", True),
        ("/MESSAGES/Modules/M", "/messages/modules/m", True),
        ("/messages/modules/m", "/messages/modules/m/outputs/o", True),
        ("/messages/modules/m/*", "/messages/modules/m", True),
        ("/messages/modules/m", "/messages/modules/m2", False),
        ("/messages/modules/m/outputs/o", "/messages/modules/m/outputs/o2", False),
        ("/messages/modules/m/outputs/o", "/messages/modules/m", False),
        ("/messages/modules/*/outputs/*", "/messages/modules/m/outputs/o", False),
        ("/messages/*", TWIN_CHANGE_SOURCE, False),
        ("/message/*", "/messages", False),
    ],
)
def test_sources_are_prefixes_ending_at_a_boundary(source: str, path: str, taken: bool) -> None:
    assert matches(parse_route(f"FROM {source} INTO $upstream"), path, JSON_MESSAGE) is taken


def test_only_a_true_condition_takes_the_message() -> None:
    for text, taken in [
        ("p = 'v'", True),
        ("p = 'w'", False),
        ("missing = 'v'", False),
        ("1", False),
        ("'x'", False),
    ]:
        route = parse_route(f"FROM /* WHERE {text} INTO $upstream")
        assert matches(route, "/messages", JSON_MESSAGE) is taken
        assert matching([route, route], "/messages", JSON_MESSAGE) == [route] * (2 * taken)


@pytest.mark.parametrize(
    ("sender", "output", "source"),
    [
        ("edge", None, "/messages"),
        ("leaf", None, "/messages"),
        ("leaf/m", "o", "/messages"),
        ("edge/m", None, "/messages/modules/m"),
        ("edge/m", "o", "/messages/modules/m/outputs/o"),
    ],
)
def test_source_of_telemetry(sender: str, output: str | None, source: str) -> None:
    assert telemetry_source(Identity.parse(sender), DeviceId("edge"), output) == source


def test_the_deepest_legal_conditions_evaluate() -> None:
    wide = " AND ".join(["p='v'"] * (CONDITION_DEPTH_MAX - 2))
    deep = "(" * (NESTING_MAX - 1) + "p ?? p OR p AND p = p < p || p" + ")" * (NESTING_MAX - 1)
    assert value(wide) is True
    value(deep)


OPERANDS = st.sampled_from(
    ["1", "'x'", "p", "num", "true", "false", "null", "undefined", "$body.n", "$body.o", "missing"]
)
OPERATORS = st.sampled_from(
    ["+", "-", "*", "/", "%", "||", "=", "!=", "<", "<=", ">", ">=", "AND", "OR", "??"]
)
EXPRESSIONS = st.recursive(
    OPERANDS,
    lambda inner: (
        st.tuples(inner, OPERATORS, inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
        | inner.map(lambda e: f"NOT {e}")
        | st.tuples(st.sampled_from(sorted(n for n, f in FUNCTIONS.items() if f.least == 1)), inner).map(
            lambda t: f"{t[0]}({t[1]})"
        )
    ),
    max_leaves=8,
)


@given(EXPRESSIONS, st.binary(max_size=10))
def test_evaluation_never_raises_and_logic_is_three_valued(text: str, body: bytes) -> None:
    message = Message(body, JSON_MESSAGE.properties, JSON_MESSAGE.system)
    assert value(f"({text}) AND ({text}) OR false", message) in (True, False, UNDEFINED)
    first = value(text)
    assert value(f"NOT NOT ({text})") is (first if isinstance(first, bool) else UNDEFINED)
