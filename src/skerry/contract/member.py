"""A place in a JSON document that knows its own path, so that every broken rule can name it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NoReturn

from skerry.contract.json_text import Json
from skerry.errors import InvalidInput

SHOWN_CHARS_MAX = 120


class _Missing:
    """Not there, unlike null."""


MISSING = _Missing()


@dataclass(frozen=True, slots=True)
class Member:
    """A value with the path that leads to it; its methods return what a rule allows or raise InvalidInput."""

    path: str
    value: Json

    def __getitem__(self, name: str) -> Member:
        """The member of this object; a missing one is fine until it is asked for something."""
        path = f"{self.path}.{name}" if self.path else name
        return Member(path, self.members().get(name, MISSING))

    def __iter__(self) -> Iterator[tuple[str, Member]]:
        for name in self.members():
            yield name, self[name]

    @property
    def given(self) -> bool:
        """Whether it is there and not null."""
        return self.value is not MISSING and self.value is not None

    def members(self) -> dict[str, Json]:
        if not isinstance(self.value, dict):
            self.refuse("an object")
        return self.value

    def text(self, *, blank: bool = False) -> str:
        """A string, not empty unless ``blank``."""
        if not isinstance(self.value, str) or not (self.value or blank):
            self.refuse("a string" if blank else "a non-empty string")
        return self.value

    def one_of(self, allowed: Collection[str]) -> str:
        if not isinstance(self.value, str) or self.value not in allowed:
            self.refuse("one of " + ", ".join(allowed))
        return self.value

    def integer(self, least: int, most: int) -> int:
        legal = isinstance(self.value, int) and not isinstance(self.value, bool)
        if not legal or not least <= self.value <= most:
            self.refuse(f"an integer from {least} to {most}")
        number: int = self.value
        return number

    def refuse(self, expected: str, **fields: object) -> NoReturn:
        """Raise InvalidInput: ``path``, ``value`` and, as hint, what is expected here."""
        where = self.path or "document"
        what = f"{where} is missing" if self.value is MISSING else f"{where} is not legal"
        raise InvalidInput(what, hint=f"expected {expected}", path=self.path, value=self._shown(), **fields)

    def _shown(self) -> object:
        if self.value is MISSING or self.value is None or isinstance(self.value, bool | int | float):
            return None if self.value is MISSING else self.value
        text = self.value if isinstance(self.value, str) else f"<{type(self.value).__name__}>"
        return text if len(text) <= SHOWN_CHARS_MAX else text[:SHOWN_CHARS_MAX] + "…"
