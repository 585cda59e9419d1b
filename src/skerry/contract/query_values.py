"""What a query's expressions come to for one document: three-valued, never raising (contract.md §7).

The SQL of ``hub/query_sql.py`` says the same; tests hold the two together. The rules:

* A comparison with undefined is undefined, and so is its opposite.
* Values of different types are unequal; only two numbers or two strings have an order.
* Two objects or arrays do not compare: undefined.
* Arithmetic is that of doubles; without a number, or with a zero divisor, it is undefined.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from skerry.contract.query_expression import (
    UNDEFINED,
    Arithmetic,
    ArrayContains,
    Comparison,
    Expression,
    Literal,
    Logic,
    Membership,
    Negative,
    Not,
    Path,
    TextTest,
    Type,
    TypeTest,
)

Document = Mapping[str, Any]
Key = int | float | str | None
# What objects and arrays are as keys.
STRUCTURED = ("o", "a")


def resolve(path: Path, document: Any) -> Any:
    """The value at ``path``, or UNDEFINED."""
    value = document
    for step in path.steps:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return UNDEFINED
        elif not isinstance(value, list) or step >= len(value):
            return UNDEFINED
        value = value[step]
    return value


def holds(condition: Expression | None, document: Document) -> bool:
    """Whether the document is one the condition asks for; no condition takes all."""
    return condition is None or evaluate(condition, document) is True


def evaluate(expression: Expression, document: Document) -> Any:
    """The JSON value of ``expression``, or UNDEFINED."""
    match expression:
        case Literal(value):
            return value
        case Path():
            return resolve(expression, document)
        case Negative(operand):
            return _negative(evaluate(operand, document))
        case Arithmetic(sign, left, right):
            return _arithmetic(sign, evaluate(left, document), evaluate(right, document))
        case Comparison(sign, left, right):
            return _compare(sign, evaluate(left, document), evaluate(right, document))
        case Membership(operand, values):
            return _is_one_of(evaluate(operand, document), values)
        case TypeTest(kind, path):
            return _TYPE_TESTS[kind](resolve(path, document))
        case TextTest(function, path, text):
            value = resolve(path, document)
            return _TEXT_TESTS[function](value, text) if isinstance(value, str) else UNDEFINED
        case ArrayContains(path, wanted):
            value = resolve(path, document)
            return any(key(v) == key(wanted) for v in value) if isinstance(value, list) else UNDEFINED
        case Not(operand):
            truth = evaluate(operand, document)
            return not truth if isinstance(truth, bool) else UNDEFINED
        case Logic(sign, operands):
            return _logic(sign, operands, document)
        case _:
            assert_never(expression)


def key(value: Any) -> Key:
    """A value as what equality, order and grouping go by: numbers as they are, the rest tagged text.

    Undefined is ``None``. An SQL expression can compute the same.
    """
    if value is UNDEFINED:
        return None
    if isinstance(value, bool):
        return "bt" if value else "bf"
    if isinstance(value, int | float):
        return value
    if value is None:
        return "n"
    if isinstance(value, str):
        return f"s{value}"
    return "o" if isinstance(value, dict) else "a"


def unkey(value: Key) -> Any:
    """The value of a key; UNDEFINED for ``None`` and for objects and arrays, which keys do not hold."""
    if value is None or value in STRUCTURED:
        return UNDEFINED
    if not isinstance(value, str):
        return plain(value)
    if value.startswith("s"):
        return value[1:]
    return {"bt": True, "bf": False}.get(value)


def plain(number: float) -> int | float:
    """A number as JSON shows it best: without a fraction it is an integer."""
    whole = isinstance(number, float) and number.is_integer() and abs(number) < 2**53
    return int(number) if whole else number


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; a boolean is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _negative(value: Any) -> Any:
    return -float(value) if is_number(value) else UNDEFINED


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": math.fmod,  # the sign of the dividend
}


def _arithmetic(sign: str, left: Any, right: Any) -> Any:
    if not (is_number(left) and is_number(right)):
        return UNDEFINED
    try:
        result = _ARITHMETIC[sign](float(left), float(right))
    except (ArithmeticError, ValueError):
        return UNDEFINED
    return UNDEFINED if math.isnan(result) else result


_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _compare(sign: str, left: Any, right: Any) -> Any:
    if left is UNDEFINED or right is UNDEFINED:
        return UNDEFINED
    if sign in _ORDER:
        ordered = (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str))
        return _ORDER[sign](left, right) if ordered else UNDEFINED
    first, second = key(left), key(right)
    if first in STRUCTURED and second in STRUCTURED:
        return UNDEFINED
    return (first == second) is (sign == "=")


def _is_one_of(value: Any, values: tuple[Any, ...]) -> Any:
    return UNDEFINED if value is UNDEFINED else any(key(value) == key(v) for v in values)


_TYPE_TESTS: dict[Type, Callable[[Any], bool]] = {
    Type.DEFINED: lambda value: value is not UNDEFINED,
    Type.NULL: lambda value: value is None,
    Type.BOOL: lambda value: isinstance(value, bool),
    Type.NUMBER: is_number,
    Type.STRING: lambda value: isinstance(value, str),
    Type.OBJECT: lambda value: isinstance(value, dict),
}
_TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "STARTSWITH": str.startswith,
    "ENDSWITH": str.endswith,
    "CONTAINS": operator.contains,
}


def _logic(sign: str, operands: tuple[Expression, ...], document: Document) -> Any:
    """Kleene's logic: false AND anything is false, true OR anything is true, whatever is undefined."""
    decisive = sign == "OR"
    unknown = False
    for operand in operands:
        truth = evaluate(operand, document)
        if truth is decisive:
            return decisive
        unknown = unknown or not isinstance(truth, bool)
    return UNDEFINED if unknown else not decisive
