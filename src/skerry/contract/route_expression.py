"""The parts of a route's condition, as a tree of frozen values (contract.md §6.4)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Undefined(Enum):
    """The value of what is missing or ill-typed; not JSON's null."""

    UNDEFINED = "undefined"


UNDEFINED = Undefined.UNDEFINED
Value = str | float | bool | Undefined | None


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; every number is a float."""

    value: Value


@dataclass(frozen=True, slots=True)
class Property:
    """The application property of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class SystemProperty:
    """``$name``: an application property called ``$name``, or else the system property ``name``."""

    name: str


@dataclass(frozen=True, slots=True)
class BodyPath:
    """``$body.a[0]``: a value inside the JSON body."""

    steps: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Unary:
    """``-`` or ``NOT`` before an operand."""

    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator, upper case, between two operands."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Call:
    """A function, lower case, with its arguments."""

    function: str
    arguments: tuple[Expression, ...]


Expression = Literal | Property | SystemProperty | BodyPath | Unary | Binary | Call


def depth(expression: Expression) -> int:
    """How many levels the tree has, found without recursion."""
    levels = 0
    level: list[Expression] = [expression]
    while level:
        levels += 1
        level = [child for node in level for child in _operands(node)]
    return levels


def reads_body(expression: Expression) -> bool:
    """Whether the value depends on more than the properties of a message."""
    level: list[Expression] = [expression]
    while level:
        node = level.pop()
        if isinstance(node, BodyPath) or (isinstance(node, Call) and node.function == "twin_change_includes"):
            return True
        level += _operands(node)
    return False


def _operands(node: Expression) -> tuple[Expression, ...]:
    match node:
        case Unary(_, operand):
            return (operand,)
        case Binary(_, left, right):
            return (left, right)
        case Call(_, arguments):
            return arguments
    return ()
