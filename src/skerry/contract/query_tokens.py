"""The words of the query language: text in, tokens with their positions out (contract.md §7)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import NoReturn

from skerry.errors import InvalidInput

# A hundred device ids of full length in one list, with room.
QUERY_CHARS_MAX = 32 * 1024
SHOWN_CHARS_MAX = 20


class QuerySyntaxError(InvalidInput):
    """Text that is no query; ``fields``: ``position`` (0-based), ``expected``."""


class Kind(Enum):
    """What sort of word it is."""

    NAME = "name"
    NUMBER = "number"
    TEXT = "text"
    BRACKETED = "bracketed"
    MARK = "mark"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """A word, where it stands, and what it says: ``value`` is unquoted and, for marks, as written."""

    kind: Kind
    value: str
    position: int


KEYWORDS = frozenset({"SELECT", "TOP", "FROM", "WHERE", "GROUP", "BY", "AS", "AND", "OR", "NOT", "IN", "NIN"})
# In the order they are tried. ``[[id]]`` is a member with any name; quotes and backslashes are in no legal id
# and could not be looked up in every store.
_TOKEN = re.compile(
    r"""(?P<blank>\s+)
    |(?P<bracketed>\[\[[^\]"\\\x00-\x1f]+\]\])
    |(?P<number>(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w$]))
    |(?P<name>[^\W\d][\w$]*|\$[\w$]*)
    |(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<mark><=|>=|<>|!=|[=<>+\-*/%(),.\[\]])""",
    re.VERBOSE,
)


def tokens(text: str) -> list[Token]:
    """The words of ``text``, an END last; raises QuerySyntaxError."""
    if len(text) > QUERY_CHARS_MAX:
        refuse(text, QUERY_CHARS_MAX, f"a query of at most {QUERY_CHARS_MAX} characters")
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            refuse(text, at, "the closing quote" if text[at] in "'\"" else "a name, a value or an operator")
        kind, word = str(match.lastgroup), match[0]
        if kind != "blank":
            found.append(Token(Kind(kind), _said(kind, word), at))
        at = match.end()
    found.append(Token(Kind.END, "", len(text)))
    return found


def refuse(text: str, position: int, expected: str) -> NoReturn:
    """Raise QuerySyntaxError for what stands at ``position``."""
    found = text[position : position + SHOWN_CHARS_MAX]
    what = f"expected {expected} at position {position}, found {found!r}" if found else f"expected {expected}"
    raise QuerySyntaxError(
        f"not a query: {what}" if found else f"not a query: {what} at its end",
        hint="SELECT … FROM devices [WHERE …] [GROUP BY …]",
        position=position,
        expected=expected,
    )


def _said(kind: str, word: str) -> str:
    if kind == "text":
        quote = word[0]
        return word[1:-1].replace(quote * 2, quote)
    return word[2:-2] if kind == "bracketed" else word


class Cursor:
    """Where a parser is in its tokens; ``KEYWORDS`` are no names."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._at = 0

    @property
    def _here(self) -> Token:
        return self._tokens[min(self._at, len(self._tokens) - 1)]

    @property
    def _next(self) -> Token:
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)]

    def _is_word(self, word: str) -> bool:
        return self._here.kind is Kind.NAME and self._here.value.upper() == word

    def _word(self, word: str) -> bool:
        found = self._is_word(word)
        self._at += found
        return found

    def _mark(self, mark: str) -> bool:
        found = self._here.kind is Kind.MARK and self._here.value == mark
        self._at += found
        return found

    def _name(self, expected: str) -> str:
        token = self._here
        if token.kind is not Kind.NAME or token.value.upper() in KEYWORDS:
            self._fail(expected)
        self._at += 1
        return token.value

    def _expect_word(self, word: str) -> None:
        if not self._word(word):
            self._fail(word)

    def _expect_mark(self, mark: str, expected: str = "") -> None:
        if not self._mark(mark):
            self._fail(expected or f"'{mark}'")

    def _expect_end(self, expected: str) -> None:
        if self._here.kind is not Kind.END:
            self._fail(expected)

    def _fail(self, expected: str, token: Token | None = None) -> NoReturn:
        refuse(self._text, (token or self._here).position, expected)
