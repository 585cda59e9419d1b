"""Random documents and random queries in the query language, for the tests that compare evaluators."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from skerry.contract.query import QuerySyntaxError, parse_condition

NAMES = ("a", "b", "deviceId", "ünï", "$version")
# Eighths, so that no reader of JSON rounds them differently.
NUMBERS = st.one_of(st.integers(-3, 3), st.integers(-20, 20).map(lambda n: n / 8))
TEXTS = st.sampled_from(
    ["", "a", "b", "ab", "A", "1", "n", "o", "bt", "ä", "it's", "%", "true", "\U0001f600"]
)
SCALARS = st.one_of(NUMBERS, TEXTS, st.booleans(), st.none())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4), max_size=6)


def quoted(value: Any) -> str:
    """A constant as the query language writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        text = value.replace("'", "''")
        return f"'{text}'"
    return repr(value)


@st.composite
def paths(draw: st.DrawFn) -> str:
    text: str = draw(st.sampled_from(NAMES))
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(NAMES))
        text += draw(st.sampled_from([f".{name}", f".[[{name}]]", f"['{name}']", "[0]", "[1]"]))
    return text


CONSTANTS = SCALARS.map(quoted)
LISTS = st.lists(CONSTANTS, max_size=3).map(lambda values: f"[{', '.join(values)}]")
TEXT_FUNCTIONS = st.sampled_from(["STARTSWITH", "endswith", "Contains"])
TYPE_FUNCTIONS = st.sampled_from(["IS_DEFINED", "is_null", "IS_BOOL", "IS_NUMBER", "IS_STRING", "IS_OBJECT"])
ATOMS = st.one_of(paths(), CONSTANTS)
SUMS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/%"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda text: f"-({text})"),
    ),
    max_leaves=4,
)
TESTS = st.one_of(
    st.tuples(SUMS, st.sampled_from(["=", "!=", "<>", "<", "<=", ">", ">="]), SUMS).map(" ".join),
    st.tuples(SUMS, st.sampled_from(["IN", "NOT IN", "nin"]), LISTS).map(" ".join),
    st.tuples(TYPE_FUNCTIONS, paths()).map(lambda t: f"{t[0]}({t[1]})"),
    st.tuples(TEXT_FUNCTIONS, paths(), TEXTS.map(quoted)).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
    st.tuples(paths(), CONSTANTS).map(lambda t: f"ARRAY_CONTAINS({t[0]}, {t[1]})"),
    paths(),
    st.sampled_from(["true", "false", "(a = 1) = (b = 2)"]),
)


def bounded(text: str) -> bool:
    """Whether the text is within the bounds that the strategies do not keep by themselves."""
    try:
        parse_condition(text)
    except QuerySyntaxError as exc:
        if any(bound in str(exc.fields["expected"]) for bound in ("nesting", "remainders")):
            return False
        raise
    return True


CONDITIONS = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda c: "(" + " AND ".join(c) + ")"),
        st.lists(inner, min_size=2, max_size=3).map(lambda c: "(" + " or ".join(c) + ")"),
        inner.map(lambda text: f"NOT ({text})"),
    ),
    max_leaves=5,
).filter(bounded)
AGGREGATES = st.one_of(
    st.just("COUNT()"),
    st.tuples(st.sampled_from(["AVG", "SUM", "MIN", "max"]), paths()).map(lambda t: f"{t[0]}({t[1]})"),
)


@st.composite
def grouped(draw: st.DrawFn) -> str:
    """A query of groups over ``devices``."""
    groups = draw(st.lists(paths(), max_size=2, unique=True))
    columns = [*groups, *draw(st.lists(AGGREGATES, min_size=1, max_size=3))]
    named = ", ".join(f"{column} AS n{at}" for at, column in enumerate(columns))
    top = draw(st.sampled_from(["", "TOP 2 "]))
    where = draw(st.one_of(st.just(""), CONDITIONS.map(lambda text: f" WHERE {text}")))
    by = f" GROUP BY {', '.join(groups)}" if groups else ""
    return f"SELECT {top}{named} FROM devices{where}{by}"
