"""What a route's condition comes to for one message: three-valued, never raising (contract.md §6.4)."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Any, assert_never

from skerry.contract.json_text import parse_json
from skerry.contract.message import MESSAGE_BYTES_MAX, Message
from skerry.contract.route_expression import (
    UNDEFINED,
    Binary,
    BodyPath,
    Call,
    Expression,
    Literal,
    Property,
    SystemProperty,
    Unary,
    Undefined,
    Value,
)
from skerry.errors import SkerryError

TWIN_CHANGE_SOURCE = "/twinChangeNotifications"
JSON_CONTENT_TYPE = "application/json"
_ENCODINGS = {"utf-8": "utf-8-sig", "utf-16": "utf-16", "utf-32": "utf-32"}
# A string property counts as a number when it is written like one; no ``inf``, no ``1_000``.
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


class Scope:
    """One message as conditions see it; the body is read as JSON at most once."""

    def __init__(self, source_path: str, message: Message) -> None:
        self.source_path = source_path
        self.message = message
        self._body: Any = None
        self._read = False

    def property(self, name: str) -> Value:
        return self.message.properties.get(name, UNDEFINED)

    def system(self, name: str) -> Value:
        found = self.message.properties.get(f"${name}", UNDEFINED)
        if found is not UNDEFINED:
            return found
        system = self.message.system
        if name in system:
            return system[name]
        folded = name.casefold()
        return next((value for key, value in system.items() if key.casefold() == folded), UNDEFINED)

    def body(self) -> Any:
        """The JSON body, or UNDEFINED when the message does not say, or does not hold, JSON."""
        if not self._read:
            self._read = True
            self._body = _json_body(self.message)
        return self._body


def evaluate(expression: Expression, scope: Scope) -> Value:
    """The value of ``expression`` for this message; UNDEFINED for what is missing or ill-typed."""
    match expression:
        case Literal(value):
            return value
        case Property(name):
            return scope.property(name)
        case SystemProperty(name):
            return scope.system(name)
        case BodyPath(steps):
            return _body_value(scope.body(), steps)
        case Unary(sign, operand):
            return _unary(sign, evaluate(operand, scope))
        case Binary(sign, left, right):
            return _binary(sign, left, right, scope)
        case Call("twin_change_includes", (argument,)):
            return _twin_change_includes(argument, scope)
        case Call(function, arguments):
            return FUNCTIONS[function].value(*[evaluate(argument, scope) for argument in arguments])
        case _:
            assert_never(expression)


def _json_body(message: Message) -> Any:
    content_type = message.system.get("contentType", "").partition(";")[0].strip().lower()
    encoding = _ENCODINGS.get(message.system.get("contentEncoding", "").strip().lower())
    if content_type != JSON_CONTENT_TYPE or encoding is None:
        return UNDEFINED
    try:
        return parse_json(message.body.decode(encoding), bytes_max=MESSAGE_BYTES_MAX)
    except (UnicodeDecodeError, SkerryError):
        return UNDEFINED


def _body_value(body: Any, steps: tuple[str | int, ...]) -> Value:
    if isinstance(body, Undefined):
        return body
    for step in steps:
        if isinstance(step, str):
            body = body.get(step) if isinstance(body, dict) else None
        else:
            body = body[step] if isinstance(body, list) and step < len(body) else None
    return _value(body)


def _value(found: object) -> Value:
    if found is None or isinstance(found, bool | str):
        return found
    return _float(found) if isinstance(found, int | float) else UNDEFINED


def _twin_change_includes(argument: Expression, scope: Scope) -> Value:
    """Whether a twin change notice touches the path; a path to null is a deletion, a change as well."""
    path = argument.name if isinstance(argument, Property) else evaluate(argument, scope)
    if not isinstance(path, str):
        return UNDEFINED
    if scope.source_path.casefold() != TWIN_CHANGE_SOURCE.casefold():
        return False
    node = scope.body()
    for step in path.split("."):
        if not isinstance(node, dict) or step not in node:
            return False
        node = node[step]
    return True


def _unary(sign: str, value: Value) -> Value:
    if sign == "NOT":
        return not value if isinstance(value, bool) else UNDEFINED
    return -value if isinstance(value, float) else UNDEFINED


def _binary(sign: str, left: Expression, right: Expression, scope: Scope) -> Value:
    first = evaluate(left, scope)
    match sign:
        case "AND" | "OR":
            return _logic(sign, first, right, scope)
        case "??":
            return evaluate(right, scope) if first is UNDEFINED else first
    second = evaluate(right, scope)
    if sign in _ARITHMETIC:
        return _number(_ARITHMETIC[sign], first, second)
    if sign == "||":
        return first + second if isinstance(first, str) and isinstance(second, str) else UNDEFINED
    return _compare(sign, first, second)


def _logic(sign: str, first: Value, right: Expression, scope: Scope) -> Value:
    """Kleene's logic: false AND anything is false, true OR anything is true, whatever is undefined."""
    decisive = sign == "OR"
    if first is decisive:
        return decisive
    second = evaluate(right, scope)
    if second is decisive:
        return decisive
    return not decisive if isinstance(first, bool) and isinstance(second, bool) else UNDEFINED


_ARITHMETIC: dict[str, Callable[..., float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": math.fmod,  # the sign of the dividend, as in C#
}
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _compare(sign: str, first: Value, second: Value) -> Value:
    if first is UNDEFINED or type(first) is not type(second):
        return UNDEFINED
    if sign == "=":
        return first == second
    if sign in ("!=", "<>"):
        return first != second
    if isinstance(first, bool) or first is None:
        return UNDEFINED
    return _ORDER[sign](first, second)


def _is_number(value: Value) -> bool:
    return isinstance(value, float)


def _float(number: float) -> Value:
    try:
        return float(number)
    except OverflowError:
        return UNDEFINED


def _number(function: Callable[..., float], *values: Value) -> Value:
    """``function`` of numbers; UNDEFINED when one is no number or the result is none (1/0, sqrt(-1))."""
    if not all(isinstance(value, float) for value in values):
        return UNDEFINED
    try:
        result = function(*values)
    except (ArithmeticError, ValueError):
        return UNDEFINED
    if isinstance(result, complex) or not math.isfinite(result):
        return UNDEFINED
    return float(result)


def _text(function: Callable[..., Value], *values: Value) -> Value:
    """``function`` of strings; UNDEFINED when one is no string."""
    return function(*values) if all(isinstance(value, str) for value in values) else UNDEFINED


def _substring(text: Value, start: Value, length: Value = math.inf) -> Value:
    if not (isinstance(text, str) and isinstance(start, float) and isinstance(length, float)):
        return UNDEFINED
    if not (start.is_integer() and 0 <= start <= len(text) and length >= 0):
        return UNDEFINED
    if math.isinf(length):
        return text[int(start) :]
    return text[int(start) : int(start + length)] if length.is_integer() else UNDEFINED


def _as_number(value: Value) -> Value:
    if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
        return _number(float, float(value))
    return value if _is_number(value) else UNDEFINED


class Function:
    """A function of the route language: how many arguments it takes, what it comes to."""

    def __init__(self, value: Callable[..., Value], least: int = 1, most: int | None = None) -> None:
        self.value = value
        self.least = least
        self.most = least if most is None else most


def _of_number(function: Callable[..., float], arguments: int = 1) -> Function:
    return Function(lambda *values: _number(function, *values), arguments)


def _of_text(function: Callable[..., Value], arguments: int = 1) -> Function:
    return Function(lambda *values: _text(function, *values), arguments)


# One name may not be joined from more parts than a route can reasonably spell out.
CONCAT_ARGUMENTS_MAX = 64

FUNCTIONS: dict[str, Function] = {
    "abs": _of_number(abs),
    "as_number": Function(_as_number),
    "ceiling": _of_number(math.ceil),
    "concat": Function(lambda *v: _text(lambda *t: "".join(t), *v), 2, CONCAT_ARGUMENTS_MAX),
    "contains": _of_text(lambda text, part: part in text, 2),
    "ends_with": _of_text(str.endswith, 2),
    "exp": _of_number(math.exp),
    "floor": _of_number(math.floor),
    "index_of": _of_text(lambda text, part: float(text.find(part)), 2),
    "is_bool": Function(lambda value: isinstance(value, bool)),
    "is_defined": Function(lambda value: value is not UNDEFINED),
    "is_null": Function(lambda value: value is None),
    "is_number": Function(_is_number),
    "is_string": Function(lambda value: isinstance(value, str)),
    "length": _of_text(lambda text: float(len(text))),
    "lower": _of_text(str.lower),
    "power": _of_number(math.pow, 2),
    "sign": _of_number(lambda number: (number > 0) - (number < 0)),
    "sqrt": _of_number(math.sqrt),
    "square": _of_number(lambda number: number * number),
    "starts_with": _of_text(str.startswith, 2),
    "substring": Function(_substring, 2, 3),
    # Looks at the path itself and at where the message came from: see evaluate.
    "twin_change_includes": Function(lambda _: UNDEFINED),
    "upper": _of_text(str.upper),
}
