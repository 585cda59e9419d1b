"""The grammar of the route language: text in, source, condition, sink out (contract.md §6.4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

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
    Value,
    depth,
)
from skerry.contract.route_values import FUNCTIONS, NUMBER
from skerry.errors import InvalidInput

# A route is a line in a twin, whose strings end at 4096 bytes.
ROUTE_CHARS_MAX = 4096
# Brackets, signs and calls inside each other; each costs the parser a few frames.
NESTING_MAX = 40
# Levels of the tree, a chain of ANDs included; each costs the evaluation two frames.
CONDITION_DEPTH_MAX = 150
SHOWN_CHARS_MAX = 20

# Binary operators from loosest to tightest.
LEVELS = (
    ("??",),
    ("OR",),
    ("AND",),
    ("=", "!=", "<>"),
    ("<=", "<", ">=", ">"),
    ("+", "-", "||"),
    ("*", "/", "%"),
)
KEYWORDS = frozenset({"SELECT", "FROM", "WHERE", "INTO", "AND", "OR", "NOT"})
CONSTANTS: dict[str, Value] = {"true": True, "false": False, "null": None, "undefined": UNDEFINED}

_NAME = re.compile(r'[^()<>@,;:\\"/\[\]?={}\s]+')
_SYSTEM_NAME = re.compile(r'\$([^()<>@,;:\\"/?={}\s]+)')
_HEX = re.compile(r"0[xX][0-9a-fA-F]+")
_BODY_STEP = re.compile(r"\.([^.\[\]]+)|\[([0-9]{1,9})\]")
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(['\"\\/bfnrt]))")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ENDPOINT = re.compile(r"/modules/([^/]+)/inputs/([^/]+)", re.IGNORECASE)


class RouteSyntaxError(InvalidInput):
    """Text that is no route; ``fields``: ``position`` (0-based), ``expected``, ``value`` (the route)."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a route says: source without blanks, condition, module with input unless it leads upstream."""

    source: str
    condition: Expression | None
    endpoint: tuple[str, str] | None


def parse_parts(text: str) -> Parts:
    """The parts of a route; RouteSyntaxError for anything else, never another exception."""
    return _Parser(text).route()


class _Parser:
    """Recursive descent over the text itself: what a character means depends on where it stands."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._nesting = 0

    def route(self) -> Parts:
        if len(self._text) > ROUTE_CHARS_MAX:
            self._at = ROUTE_CHARS_MAX
            self._fail(f"a route of at most {ROUTE_CHARS_MAX} characters")
        self._skip()
        if self._keyword("SELECT"):
            self._expect("*")
            self._skip()
        if not self._keyword("FROM"):
            self._fail("SELECT * or FROM" if self._at == 0 else "FROM")
        source = self._source()
        condition = None
        self._skip()
        if self._keyword("WHERE"):
            condition = self._condition()
        elif not self._peek_keyword("INTO"):
            self._fail("WHERE or INTO")
        self._skip()
        if not self._keyword("INTO"):
            self._fail("an operator or INTO")
        endpoint = self._sink()
        self._skip()
        if self._at < len(self._text):
            self._fail("the end of the route")
        return Parts(source, condition, endpoint)

    # --- source -------------------------------------------------------------------------------------

    def _source(self) -> str:
        self._skip_before_source()
        items = []
        while self._text.startswith("/", self._at):
            self._at += 1
            self._skip_blanks()
            items.append(self._source_item())
            # A ``/*`` right after an item is a wildcard; after a blank it opens a comment.
            if not self._text.startswith("/", self._at):
                self._skip()
        if not items:
            self._fail("a source, such as /messages/*")
        return "/" + "/".join(items)

    def _source_item(self) -> str:
        # A wildcard ends at its star even where a name would go on.
        if self._text.startswith("*", self._at):
            self._at += 1
            return "*"
        return self._take(_NAME, "a name or *")

    def _skip_before_source(self) -> None:
        """Skip blanks and comments, but take ``/*`` for a source unless a source follows its ``*/``."""
        self._skip_blanks()
        while self._text.startswith("/*", self._at):
            end = self._text.find("*/", self._at + 2)
            if end < 0 or not self._text[end + 2 :].lstrip().startswith("/"):
                return
            self._at = end + 2
            self._skip_blanks()

    # --- sink ---------------------------------------------------------------------------------------

    def _sink(self) -> tuple[str, str] | None:
        self._skip()
        start = self._at
        name = self._take(_NAME, "$upstream or BrokeredEndpoint(…)").lower()
        if name == "$upstream":
            return None
        if name != "brokeredendpoint":
            self._fail("$upstream or BrokeredEndpoint(…)", start)
        self._expect("(")
        self._skip()
        start = self._at
        path = self._string() if self._here() in ("'", '"') else self._fail("a string")
        found = _ENDPOINT.fullmatch(path)
        if not found:
            self._fail('"/modules/{module}/inputs/{input}"', start)
        self._expect(")")
        return found[1], found[2]

    # --- condition ----------------------------------------------------------------------------------

    def _condition(self) -> Expression:
        self._skip()
        start = self._at
        condition = self._expression(0)
        if depth(condition) > CONDITION_DEPTH_MAX:
            self._fail(f"a condition of at most {CONDITION_DEPTH_MAX} steps", start)
        return condition

    def _expression(self, level: int) -> Expression:
        """One operand, or several joined by operators of ``level`` or tighter (precedence climbing)."""
        left = self._operand()
        while found := self._peek_operator():
            operator, rank = found
            if rank < level:
                break
            self._at += len(operator)
            left = Binary(operator, left, self._expression(rank + 1))
        return left

    def _operand(self) -> Expression:
        self._skip()
        self._nesting += 1
        if self._nesting > NESTING_MAX:
            self._fail(f"at most {NESTING_MAX} nested operands")
        operand = self._nested_operand()
        self._nesting -= 1
        return operand

    def _nested_operand(self) -> Expression:
        match self._here():
            case "(":
                self._at += 1
                inner = self._expression(0)
                self._expect(")")
                return inner
            case "-":
                self._at += 1
                return Unary("-", self._operand())
            case "'" | '"':
                return Literal(self._string())
            case "{":
                return self._escaped_property()
            case "$":
                return self._system_property()
        if self._keyword("NOT"):
            return Unary("NOT", self._operand())
        return self._word()

    def _word(self) -> Expression:
        start = self._at
        word = self._take(_NAME, "a value")
        if word.endswith("!") and self._text.startswith("=", self._at):
            word = word[:-1]
            self._at -= 1
        if not word or word.upper() in KEYWORDS:
            self._fail("a value", start)
        if word in CONSTANTS:
            return Literal(CONSTANTS[word])
        if _HEX.fullmatch(word):
            return Literal(self._finite(int(word, 16), start))
        if NUMBER.fullmatch(word):
            return Literal(self._finite(float(word), start))
        after = self._at
        self._skip()
        if self._here() == "(":
            return self._call(word, start)
        self._at = after
        return Property(word)

    def _finite(self, number: float, start: int) -> float:
        try:
            value = float(number)
        except OverflowError:
            value = float("inf")
        return value if value != float("inf") else self._fail("a number within range", start)

    def _call(self, word: str, start: int) -> Expression:
        name = word.lower()
        function = FUNCTIONS.get(name)
        if function is None:
            self._fail(f"a function: {', '.join(FUNCTIONS)}", start)
        self._expect("(")
        arguments = []
        self._skip()
        if self._here() != ")":
            arguments.append(self._expression(0))
            while self._here_after_blanks() == ",":
                self._at += 1
                arguments.append(self._expression(0))
        self._expect(")", "an operator, ',' or ')'")
        if not function.least <= len(arguments) <= function.most:
            count = (
                str(function.least)
                if function.least == function.most
                else f"{function.least} to {function.most}"
            )
            self._fail(f"{count} argument(s) of {name}", start)
        return Call(name, tuple(arguments))

    def _escaped_property(self) -> Expression:
        self._expect("{")
        self._skip()
        if self._here() != "$":
            self._fail("$ and the name of a property")
        name = self._take(_SYSTEM_NAME, "$ and the name of a property")
        self._expect("}")
        return Property(name)

    def _system_property(self) -> Expression:
        start = self._at
        word = self._take(_SYSTEM_NAME, "$ and the name of a property")
        if word.endswith("!") and self._text.startswith("=", self._at):
            word = word[:-1]
            self._at -= 1
        if word.lower() == "$body" or word.lower().startswith(("$body.", "$body[")):
            return BodyPath(self._body_steps(word[len("$body") :], start + len("$body")))
        if "[" in word or "]" in word:
            self._fail("brackets only after $body", start)
        if word == "$":
            self._fail("$ and the name of a property", start)
        return SystemProperty(word[1:])

    def _body_steps(self, path: str, start: int) -> tuple[str | int, ...]:
        steps: list[str | int] = []
        at = 0
        while at < len(path):
            found = _BODY_STEP.match(path, at)
            if not found:
                self._fail(".member or [index]", start + at)
            steps.append(found[1] if found[1] is not None else int(found[2]))
            at = found.end()
        return tuple(steps)

    def _string(self) -> str:
        quote, start = self._text[self._at], self._at
        self._at += 1
        out = []
        while (char := self._here()) != quote:
            if char == "\\":
                out.append(self._escape())
                continue
            if not char:
                self._fail(f"the closing {quote}", start)
            out.append(char)
            self._at += 1
        self._at += 1
        return "".join(out)

    def _escape(self) -> str:
        found = _ESCAPED.match(self._text, self._at)
        if not found:
            self._fail("an escape: \\' \\\" \\\\ or \\uXXXX")
        self._at = found.end()
        return chr(int(found[1], 16)) if found[1] else _ESCAPES.get(found[2], found[2])

    # --- tokens -------------------------------------------------------------------------------------

    def _peek_operator(self) -> tuple[str, int] | None:
        self._skip()
        rest = self._text[self._at : self._at + 4]
        for rank, operators in enumerate(LEVELS):
            for operator in operators:
                if operator.isalpha():
                    if self._peek_keyword(operator):
                        return operator, rank
                elif rest.startswith(operator) and not _longer(operator, rest):
                    return operator, rank
        return None

    def _keyword(self, word: str) -> bool:
        found = self._peek_keyword(word)
        if found:
            self._at += len(word)
        return found

    def _peek_keyword(self, word: str) -> bool:
        found = _NAME.match(self._text, self._at)
        return found is not None and found[0].upper() == word

    def _take(self, pattern: re.Pattern[str], expected: str) -> str:
        found = pattern.match(self._text, self._at)
        if not found:
            self._fail(expected)
        self._at = found.end()
        return found[0]

    def _expect(self, char: str, expected: str = "") -> None:
        if self._here_after_blanks() != char:
            self._fail(expected or f"'{char}'")
        self._at += 1

    def _here(self) -> str:
        return self._text[self._at : self._at + 1]

    def _here_after_blanks(self) -> str:
        self._skip()
        return self._here()

    def _skip(self) -> None:
        """Skip blanks and comments; an unclosed comment is none."""
        self._skip_blanks()
        while self._text.startswith("/*", self._at):
            end = self._text.find("*/", self._at + 2)
            if end < 0:
                return
            self._at = end + 2
            self._skip_blanks()

    def _skip_blanks(self) -> None:
        while self._here().isspace():
            self._at += 1

    def _fail(self, expected: str, position: int | None = None) -> NoReturn:
        at = min(self._at if position is None else position, len(self._text))
        found = self._text[at : at + SHOWN_CHARS_MAX]
        raise RouteSyntaxError(
            f"not a route: expected {expected} at position {at}, found {found!r}"
            if found
            else f"not a route: expected {expected} at its end",
            hint="FROM {source} [WHERE {condition}] INTO {sink}",
            position=at,
            expected=expected,
            value=self._text[:ROUTE_CHARS_MAX],
        )


def _longer(operator: str, rest: str) -> bool:
    """Whether the text holds a longer operator that starts with this one."""
    return any(
        o.startswith(operator) and len(o) > len(operator) and rest.startswith(o)
        for level in LEVELS
        for o in level
    )
