"""The parts of a query as frozen values (contract.md §7)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Undefined(Enum):
    """The value of a path that leads nowhere; not JSON's null."""

    UNDEFINED = "undefined"


UNDEFINED = Undefined.UNDEFINED
Scalar = str | int | float | bool | None


class Collection(Enum):
    """What a query ranges over."""

    DEVICES = "devices"
    MODULES = "devices.modules"
    JOBS = "devices.jobs"


class Type(Enum):
    """What IS_… asks for."""

    DEFINED = "IS_DEFINED"
    NULL = "IS_NULL"
    BOOL = "IS_BOOL"
    NUMBER = "IS_NUMBER"
    STRING = "IS_STRING"
    OBJECT = "IS_OBJECT"


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant."""

    value: Scalar


@dataclass(frozen=True, slots=True)
class Path:
    """A place in a document; no steps is the document itself."""

    steps: tuple[str | int, ...]

    def __str__(self) -> str:
        text = ""
        for step in self.steps:
            text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
        return text


@dataclass(frozen=True, slots=True)
class Negative:
    """``-`` before a number."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """``+ - * / %`` of two numbers."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Comparison:
    """``= != < <= > >=``."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Membership:
    """``IN`` a list of constants."""

    operand: Expression
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class TypeTest:
    """``IS_STRING(path)`` and its kin."""

    type: Type
    path: Path


@dataclass(frozen=True, slots=True)
class TextTest:
    """``STARTSWITH``, ``ENDSWITH`` or ``CONTAINS`` of a path and a constant."""

    function: str
    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class ArrayContains:
    """Whether an array holds a constant."""

    path: Path
    value: Scalar


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite; undefined stays undefined."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Logic:
    """``AND`` or ``OR`` of two or more conditions; a chain is one node, so that trees stay flat."""

    operator: str
    operands: tuple[Expression, ...]


Expression = (
    Literal
    | Path
    | Negative
    | Arithmetic
    | Comparison
    | Membership
    | TypeTest
    | TextTest
    | ArrayContains
    | Not
    | Logic
)


@dataclass(frozen=True, slots=True)
class Column:
    """A value of each document, under the name it gets in the result."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Aggregate:
    """``COUNT()``, or ``AVG SUM MIN MAX`` of the numbers at a path, under the name it gets."""

    name: str
    function: str
    path: Path | None


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query; no projections is ``SELECT *``."""

    collection: Collection
    projections: tuple[Column | Aggregate, ...] = ()
    condition: Expression | None = None
    groups: tuple[Path, ...] = ()
    top: int | None = None

    @property
    def aggregates(self) -> bool:
        """Whether its rows are groups rather than documents."""
        return bool(self.groups) or any(isinstance(p, Aggregate) for p in self.projections)


def paths(expression: Expression) -> list[Path]:
    """Every path an expression reads."""
    match expression:
        case Path():
            return [expression]
        case TypeTest(_, path) | TextTest(_, path, _) | ArrayContains(path, _):
            return [path]
        case Negative(operand) | Not(operand) | Membership(operand, _):
            return paths(operand)
        case Arithmetic(_, left, right) | Comparison(_, left, right):
            return [*paths(left), *paths(right)]
        case Logic(_, operands):
            return [path for operand in operands for path in paths(operand)]
    return []
