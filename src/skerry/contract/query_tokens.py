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
        fail(text, QUERY_CHARS_MAX, f"a query of at most {QUERY_CHARS_MAX} characters")
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            fail(text, at, "the closing quote" if text[at] in "'\"" else "a name, a value or an operator")
        kind, word = str(match.lastgroup), match[0]
        if kind != "blank":
            found.append(Token(Kind(kind), _said(kind, word), at))
        at = match.end()
    found.append(Token(Kind.END, "", len(text)))
    return found


def fail(text: str, position: int, expected: str) -> NoReturn:
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
