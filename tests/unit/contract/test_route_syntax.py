"""Routes parse as the grammar says; where they do not, the error says where and what was expected."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.contract.route import ModuleInput, Route, RouteSyntaxError, Upstream, parse_route
from skerry.contract.route_expression import (
    Binary,
    BodyPath,
    Expression,
    Literal,
    Property,
    SystemProperty,
    Unary,
)
from skerry.contract.route_syntax import CONDITION_DEPTH_MAX, NESTING_MAX, ROUTE_CHARS_MAX

A, B, C = Property("a"), Property("b"), Property("c")


def condition(text: str) -> Expression | None:
    return parse_route(f"FROM /* WHERE {text} INTO $upstream").condition


@pytest.mark.parametrize(
    ("text", "source", "sink"),
    [
        ("FROM /* INTO $upstream", "/*", Upstream()),
        ("  select *  from /messages/*\n into $UpStream ", "/messages/*", Upstream()),
        (
            'FROM /messages/modules/cam/outputs/image INTO BrokeredEndpoint("/modules/cnn/inputs/image")',
            "/messages/modules/cam/outputs/image",
            ModuleInput("cnn", "image"),
        ),
        ("FROM /a INTO brokeredEndpoint ( '/modules/m-1/inputs/i.x' )", "/a", ModuleInput("m-1", "i.x")),
        ("FROM /messages/modules/$edgeHub INTO $upstream", "/messages/modules/$edgeHub", Upstream()),
        ("FROM /messages/modules/*/outputs/* INTO $upstream", "/messages/modules/*/outputs/*", Upstream()),
        (
            "/* a */ FROM /* b */ /messages/* /* c */ INTO /* d */ $upstream /* e */",
            "/messages/*",
            Upstream(),
        ),
        ("FROM /* INTO $upstream /* everything */", "/*", Upstream()),
        ("FROM /a/b/* c */ INTO $upstream", "", None),
    ],
)
def test_sources_and_sinks(text: str, source: str, sink: Upstream | ModuleInput | None) -> None:
    if sink is None:
        with pytest.raises(RouteSyntaxError):
            parse_route(text)
    else:
        assert parse_route(text) == Route(text, source, None, sink)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a ?? b OR c", Binary("??", A, Binary("OR", B, C))),
        ("a OR b AND c", Binary("OR", A, Binary("AND", B, C))),
        ("a AND b OR c", Binary("OR", Binary("AND", A, B), C)),
        ("a AND b = c", Binary("AND", A, Binary("=", B, C))),
        ("a = b < c", Binary("=", A, Binary("<", B, C))),
        ("a <> b >= c", Binary("<>", A, Binary(">=", B, C))),
        ("a < b + c", Binary("<", A, Binary("+", B, C))),
        ("a <= b || c", Binary("<=", A, Binary("||", B, C))),
        ("a + b * c", Binary("+", A, Binary("*", B, C))),
        ("a * b + c", Binary("+", Binary("*", A, B), C)),
        ("a - b - c", Binary("-", Binary("-", A, B), C)),
        ("a % b / c", Binary("/", Binary("%", A, B), C)),
        ("NOT a = b", Binary("=", Unary("NOT", A), B)),
        ("NOT NOT a AND b", Binary("AND", Unary("NOT", Unary("NOT", A)), B)),
        ("-a * b", Binary("*", Unary("-", A), B)),
        ("(a OR b) and c", Binary("AND", Binary("OR", A, B), C)),
        ("a!=b", Binary("!=", A, B)),
        ("$a!=b", Binary("!=", SystemProperty("a"), B)),
        ("a-b", Property("a-b")),
        ("a.b", Property("a.b")),
        ("a+b", Property("a+b")),
        ("a/* note */", A),
        ("a / b", Binary("/", A, B)),
        ("{$a}", Property("$a")),
        ("$contentType", SystemProperty("contentType")),
        ("$body", BodyPath(())),
        ("$BODY.a.b[0][12].c", BodyPath(("a", "b", 0, 12, "c"))),
        ("true", Literal(True)),
        ("TRUE", Property("TRUE")),
        ("null", Literal(None)),
        ("12", Literal(12.0)),
        ("0xFf", Literal(255.0)),
        ("1.5e-3", Literal(0.0015)),
        ("1a", Property("1a")),
        ("'it\\'s'", Literal("it's")),
        ('"say \\"x\\" \\\\ \\u0041"', Literal('say "x" \\ A')),
        ("'FROM /* x */ INTO'", Literal("FROM /* x */ INTO")),
    ],
)
def test_conditions_nest_by_precedence(text: str, tree: Expression) -> None:
    assert condition(text) == tree


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("", 0, "SELECT * or FROM"),
        ("INTO $upstream", 0, "SELECT * or FROM"),
        ("SELECT x FROM /a INTO $upstream", 7, "'*'"),
        ("FROM a INTO $upstream", 5, "a source, such as /messages/*"),
        ("FROM /a/ INTO", 13, "WHERE or INTO"),
        ("FROM / @ INTO", 7, "a name or *"),
        ("FROM /a", 7, "WHERE or INTO"),
        ("FROM /a $upstream", 8, "WHERE or INTO"),
        ("FROM /a INTO", 12, "$upstream or BrokeredEndpoint(…)"),
        ("FROM /a INTO upstream", 13, "$upstream or BrokeredEndpoint(…)"),
        ("FROM /a INTO BrokeredEndpoint", 29, "'('"),
        ("FROM /a INTO BrokeredEndpoint(x)", 30, "a string"),
        ('FROM /a INTO BrokeredEndpoint("/modules/m")', 30, '"/modules/{module}/inputs/{input}"'),
        ('FROM /a INTO BrokeredEndpoint("/modules/m/inputs/i"', 51, "')'"),
        ("FROM /a INTO $upstream x", 23, "the end of the route"),
        ("FROM /a WHERE INTO $upstream", 14, "a value"),
        ("FROM /a WHERE a = INTO $upstream", 18, "a value"),
        ("FROM /a WHERE a b INTO $upstream", 16, "an operator or INTO"),
        ("FROM /a WHERE (a INTO $upstream", 17, "')'"),
        ("FROM /a WHERE 'a INTO $upstream", 14, "the closing '"),
        ("FROM /a WHERE 'a\\x' INTO $upstream", 16, "an escape: \\' \\\" \\\\ or \\uXXXX"),
        ("FROM /a WHERE lower() INTO $upstream", 14, "1 argument(s) of lower"),
        ("FROM /a WHERE substring('a') INTO $upstream", 14, "2 to 3 argument(s) of substring"),
        ("FROM /a WHERE lower(a INTO $upstream", 22, "an operator, ',' or ')'"),
        ("FROM /a WHERE $a[0] = 1 INTO $upstream", 14, "brackets only after $body"),
        ("FROM /a WHERE $body.a[x] = 1 INTO $upstream", 21, ".member or [index]"),
        ("FROM /a WHERE {a} = 1 INTO $upstream", 15, "$ and the name of a property"),
        ("FROM /a WHERE 1e999 = 1 INTO $upstream", 14, "a number within range"),
        ("x" * (ROUTE_CHARS_MAX + 1), ROUTE_CHARS_MAX, f"a route of at most {ROUTE_CHARS_MAX} characters"),
    ],
)
def test_errors_name_position_and_expectation(text: str, position: int, expected: str) -> None:
    with pytest.raises(RouteSyntaxError) as caught:
        parse_route(text)
    assert (caught.value.fields["position"], caught.value.fields["expected"]) == (position, expected)


def test_an_unknown_function_is_named_with_the_known_ones() -> None:
    with pytest.raises(RouteSyntaxError, match="as_number") as caught:
        condition("fresh(a)")
    assert caught.value.fields["position"] == len("FROM /* WHERE ")


def test_nesting_and_length_of_a_condition_are_bounded() -> None:
    condition("(" * (NESTING_MAX - 1) + "a" + ")" * (NESTING_MAX - 1))
    condition(" AND ".join(["a=1"] * (CONDITION_DEPTH_MAX - 2)))
    for text in ("(" * NESTING_MAX + "a" + ")" * NESTING_MAX, "NOT " * 200 + "a", "-" * 1000 + "a"):
        with pytest.raises(RouteSyntaxError, match="nested"):
            condition(text)
    with pytest.raises(RouteSyntaxError, match="steps"):
        condition(" AND ".join(["a=1"] * (CONDITION_DEPTH_MAX + 2)))


TOKENS = st.sampled_from(
    [
        "FROM",
        "WHERE",
        "INTO",
        "SELECT",
        "*",
        "/",
        "/*",
        "*/",
        "/messages/*",
        "$upstream",
        "BrokeredEndpoint",
        "(",
        ")",
        ",",
        "'",
        '"',
        "\\",
        "{",
        "}",
        "$a",
        "$body.a[0]",
        "$body.",
        "AND",
        "OR",
        "NOT",
        "a",
        "1",
        "0x1",
        "-1",
        "1e400",
        "=",
        "!=",
        "<>",
        "<=",
        "||",
        "??",
        "+",
        "-",
        "%",
        "length",
        "concat",
        "true",
        "undefined",
        "١",
        "\x00",
        "İ",
    ]
)


@given(
    st.text(max_size=60)
    | st.lists(TOKENS, max_size=15).map(" ".join)
    | st.lists(TOKENS, max_size=15).map("".join)
)
def test_any_text_is_a_route_or_a_syntax_error_within_it(text: str) -> None:
    for candidate in (
        text,
        f"FROM /* WHERE {text} INTO $upstream",
        f"FROM {text} INTO $upstream",
        f"FROM /a INTO {text}",
    ):
        try:
            parse_route(candidate)
        except RouteSyntaxError as exc:
            position = exc.fields["position"]
        else:
            continue
        assert isinstance(position, int)
        assert 0 <= position <= len(candidate)


@given(st.text(max_size=30))
def test_any_string_can_be_written_as_a_literal(text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    assert condition(f"'{escaped}'") == Literal(text)
    with suppress(RouteSyntaxError):
        condition(f'"{text}"')
