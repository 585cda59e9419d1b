"""A query's condition and groups as SQL for SQLite's JSON functions (contract §7).

Values only ever travel as parameters. Every expression has up to three readings, since SQLite's types are
not JSON's: ``number`` and ``text`` (NULL for any other type) and ``key``, the tagged form of
``query_values.key``; ``truth`` is 1, 0 or NULL for undefined. SQLite's AND, OR and NOT are three-valued
themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

from skerry.contract.query_expression import (
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
from skerry.contract.query_values import is_number, key

Parameter = str | int | float | None
NUMERIC = "('integer', 'real')"


@dataclass(frozen=True, slots=True)
class Sql:
    """A piece of a statement with the parameters of its question marks, in order."""

    text: str
    parameters: tuple[Parameter, ...] = ()

    def plus(self, parameters: Sequence[Parameter]) -> Sql:
        """The same with the parameters of further question marks."""
        return Sql(self.text, (*self.parameters, *parameters))


@dataclass(frozen=True, slots=True)
class JsonPlace:
    """A value inside a JSON text; ``column`` may be NULL for no text."""

    column: str
    steps: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class TextPlace:
    """A text column; NULL is JSON's null, and only where ``nullable``."""

    column: str
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class NumberPlace:
    """A column of numbers without NULL."""

    column: str


@dataclass(frozen=True, slots=True)
class BoolPlace:
    """A column of 0 and 1."""

    column: str


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """An object that is spread over columns; it is there, and nothing compares with it."""


@dataclass(frozen=True, slots=True)
class Nowhere:
    """No document of this collection has it."""


Place = JsonPlace | TextPlace | NumberPlace | BoolPlace | ObjectPlace | Nowhere
Places = Callable[[Path], Place]
NULL = Sql("NULL")


def join(template: str, *pieces: Sql) -> Sql:
    """The template, a constant of ours, with each ``{}`` replaced; parameters keep the order."""
    return Sql(template.format(*(p.text for p in pieces)), tuple(v for p in pieces for v in p.parameters))


def listed(pieces: Sequence[Sql], separator: str = ", ") -> Sql:
    """The pieces side by side."""
    return join(separator.join(["{}"] * len(pieces)), *pieces)


class Compiler:
    """Expressions over the documents of one collection, whose columns ``places`` knows."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def condition(self, condition: Expression | None) -> Sql:
        """What to put behind WHERE."""
        return Sql("1") if condition is None else self.truth(condition)

    def truth(self, node: Expression) -> Sql:
        """1 for true, 0 for false, NULL for undefined."""
        match node:
            case Literal(value):
                return Sql(str(int(value))) if isinstance(value, bool) else NULL
            case Path():
                return self._path_truth(node)
            case Negative() | Arithmetic():
                return NULL
            case Comparison(sign, left, right):
                return self._comparison(sign, left, right)
            case Membership(operand, values):
                return self._membership(operand, values)
            case TypeTest(kind, path):
                return self._type_test(kind, path)
            case TextTest(function, path, text):
                return self._text_test(function, self.text(path), text)
            case ArrayContains(path, value):
                return self._array_contains(self._places(path), value)
            case Not(operand):
                return join("(NOT {})", self.truth(operand))
            case Logic(sign, operands):
                # Left to right without brackets: SQLite's parser takes any length so, but few open brackets.
                return join("({})", listed([self.truth(operand) for operand in operands], f" {sign} "))
            case _:
                assert_never(node)

    def number(self, node: Expression) -> Sql | None:
        """The number, or NULL when it is none; ``None`` when it can never be one."""
        match node:
            case Literal(value):
                return Sql("?", (value,)) if is_number(value) else None
            case Path():
                match self._places(node):
                    case NumberPlace(column):
                        return Sql(column)
                    case JsonPlace(column, steps):
                        at = _json_path(steps)
                        template = "CASE WHEN json_type({0}, ?) IN {1} THEN json_extract({0}, ?) END"
                        return Sql(template.format(column, NUMERIC), (at, at))
                return None
            case Negative(operand):
                inner = self._double(operand)
                return None if inner is None else join("(-({}))", inner)
            case Arithmetic(sign, left, right):
                return self._arithmetic(sign, left, right)
        return None

    def text(self, node: Expression) -> Sql | None:
        """The string, or NULL when it is none; ``None`` when it can never be one."""
        match node:
            case Literal(value):
                return Sql("?", (value,)) if isinstance(value, str) else None
            case Path():
                match self._places(node):
                    case TextPlace(column):
                        return Sql(column)
                    case JsonPlace(column, steps):
                        at = _json_path(steps)
                        template = "CASE json_type({0}, ?) WHEN 'text' THEN json_extract({0}, ?) END"
                        return Sql(template.format(column), (at, at))
        return None

    def key(self, node: Expression) -> Sql:
        """The value as ``query_values.key`` tags it; NULL for undefined."""
        match node:
            case Literal(value):
                return Sql("?", (key(value),))
            case Path():
                return _place_key(self._places(node))
            case Negative() | Arithmetic():
                return self.number(node) or NULL
        return join("CASE {} WHEN 1 THEN 'bt' WHEN 0 THEN 'bf' END", self.truth(node))

    def group_key(self, path: Path) -> Sql:
        """As ``key``, with objects and arrays as undefined."""
        return join("CASE WHEN {0} NOT IN ('o', 'a') THEN {1} END", *[self.key(path)] * 2)

    def _path_truth(self, path: Path) -> Sql:
        match self._places(path):
            case BoolPlace(column):
                return Sql(column)
            case JsonPlace(column, steps):
                template = "CASE json_type({}, ?) WHEN 'true' THEN 1 WHEN 'false' THEN 0 END"
                return Sql(template.format(column), (_json_path(steps),))
        return NULL

    def _arithmetic(self, sign: str, left: Expression, right: Expression) -> Sql | None:
        first, second = self._double(left), self._double(right)
        if first is None or second is None:
            return None
        if sign == "%":
            return join("skerry_fmod({}, {})", first, second)
        if _binds(left) < _binds_of(sign):
            first = join("({})", first)
        if _binds(right) <= _binds_of(sign):
            second = join("({})", second)
        return join(f"{{}} {sign} {{}}", first, second)

    def _double(self, node: Expression) -> Sql | None:
        number = self.number(node)
        if number is None or isinstance(node, Arithmetic | Negative):
            return number
        return join("CAST({} AS REAL)", number)

    def _comparison(self, sign: str, left: Expression, right: Expression) -> Sql:
        if sign not in ("=", "!="):
            return self._order(sign, left, right)
        column, constant = self._column(left), _text_literal(right)
        if column is None or constant is None:
            column, constant = self._column(right), _text_literal(left)
        if column is not None and constant is not None:
            # As plain SQL, so that an index on the column serves.
            return Sql(f"({column} {sign} ?)", (constant,))
        first, second = self.key(left), self.key(right)
        if self._structured(left) and self._structured(right):
            template = "CASE WHEN NOT ({} IN ('o', 'a') AND {} IN ('o', 'a')) THEN {} " + sign + " {} END"
            return join(template, first, second, first, second)
        return join(f"({{}} {sign} {{}})", first, second)

    def _order(self, sign: str, left: Expression, right: Expression) -> Sql:
        numbers = (self.number(left), self.number(right))
        texts = (self.text(left), self.text(right))
        found = [join(f"({{}} {sign} {{}})", a, b) for a, b in (numbers, texts) if a and b]
        if len(found) == 2:
            return join("coalesce({}, {})", *found)
        return found[0] if found else NULL

    def _membership(self, operand: Expression, values: Sequence[Parameter]) -> Sql:
        column = self._column(operand)
        if column is not None:
            texts = tuple(value for value in values if isinstance(value, str))
            return Sql(f"({column} IN ({_marks(texts)}))", texts)
        keys = tuple(key(value) for value in values)
        if keys:
            return join(f"({{}} IN ({_marks(keys)}))", self.key(operand)).plus(keys)
        # SQL calls it false even for NULL.
        return join("CASE WHEN {} IS NOT NULL THEN 0 END", self.key(operand))

    def _type_test(self, kind: Type, path: Path) -> Sql:
        place = self._places(path)
        if isinstance(place, JsonPlace):
            at = _json_path(place.steps)
            return Sql(_JSON_TESTS[kind].format(f"json_type({place.column}, ?)"), (at,))
        if kind is Type.NULL and isinstance(place, TextPlace) and place.nullable:
            return Sql(f"({place.column} IS NULL)")
        if kind is Type.STRING and isinstance(place, TextPlace):
            return Sql(f"({place.column} IS NOT NULL)")
        return Sql("1" if isinstance(place, _PLACE_TESTS[kind]) else "0")

    def _text_test(self, function: str, value: Sql | None, text: str) -> Sql:
        if value is None:
            return NULL
        if function == "CONTAINS":
            return join("(instr({}, ?) > 0)", value).plus((text,))
        if not text:
            return join("({} = {})", value, value)
        start = f"1, {len(text)}" if function == "STARTSWITH" else f"-{len(text)}"
        return join(f"(substr({{}}, {start}) = ?)", value).plus((text,))

    def _array_contains(self, place: Place, value: Parameter) -> Sql:
        if not isinstance(place, JsonPlace):
            return NULL
        at = _json_path(place.steps)
        element = _ELEMENT_KEY
        template = (
            f"CASE json_type({place.column}, ?) WHEN 'array' THEN"
            f" EXISTS (SELECT 1 FROM json_each({place.column}, ?) AS element WHERE {element} = ?) END"
        )
        return Sql(template, (at, at, key(value)))

    def _column(self, node: Expression) -> str | None:
        """The plain text column a path stands for."""
        place = self._places(node) if isinstance(node, Path) else None
        return place.column if isinstance(place, TextPlace) and not place.nullable else None

    def _structured(self, node: Expression) -> bool:
        return isinstance(node, Path) and isinstance(self._places(node), JsonPlace | ObjectPlace)


_KEY_CASES = (
    " WHEN 'text' THEN 's' || {1} WHEN 'integer' THEN {1} WHEN 'real' THEN {1} WHEN 'true' THEN 'bt'"
    " WHEN 'false' THEN 'bf' WHEN 'null' THEN 'n' WHEN 'object' THEN 'o' WHEN 'array' THEN 'a' END"
)
_ELEMENT_KEY = ("CASE {0}" + _KEY_CASES).format("element.type", "element.atom")
_JSON_TESTS = {
    Type.DEFINED: "({} IS NOT NULL)",
    Type.NULL: "({} IS 'null')",
    Type.BOOL: "coalesce({} IN ('true', 'false'), 0)",
    Type.NUMBER: f"coalesce({{}} IN {NUMERIC}, 0)",
    Type.STRING: "({} IS 'text')",
    Type.OBJECT: "({} IS 'object')",
}
_PLACE_TESTS: dict[Type, tuple[type[Place], ...]] = {
    Type.DEFINED: (TextPlace, NumberPlace, BoolPlace, ObjectPlace),
    Type.NULL: (),
    Type.BOOL: (BoolPlace,),
    Type.NUMBER: (NumberPlace,),
    Type.STRING: (),
    Type.OBJECT: (ObjectPlace,),
}


def _place_key(place: Place) -> Sql:
    match place:
        case JsonPlace(column, steps):
            at = _json_path(steps)
            template = "CASE json_type({0}, ?)" + _KEY_CASES.replace("{1}", "json_extract({0}, ?)")
            return Sql(template.format(column), (at,) * 4)
        case TextPlace(column, nullable):
            return Sql(f"coalesce('s' || {column}, 'n')" if nullable else f"('s' || {column})")
        case NumberPlace(column):
            return Sql(column)
        case BoolPlace(column):
            return Sql(f"CASE {column} WHEN 1 THEN 'bt' ELSE 'bf' END")
        case ObjectPlace():
            return Sql("'o'")
        case Nowhere():
            return NULL
        case _:
            assert_never(place)


def _json_path(steps: Sequence[str | int]) -> str:
    """SQLite's path; the parser lets no quote and no backslash into a step."""
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f'."{step}"' for step in steps)


def _text_literal(node: Expression) -> str | None:
    return node.value if isinstance(node, Literal) and isinstance(node.value, str) else None


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _binds_of(sign: str) -> int:
    return 1 if sign in "+-" else 2


def _binds(node: Expression) -> int:
    """How tightly the outermost operator of a number's SQL binds."""
    return _binds_of(node.operator) if isinstance(node, Arithmetic) and node.operator != "%" else 3
