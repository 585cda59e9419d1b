"""Typed reading of JSON documents, where every mistake names its path."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from skerry.errors import InvalidInput


def canonical_json(document: object) -> bytes:
    """The one byte form of a document: sorted keys, no spaces, UTF-8, one newline at the end."""
    return (
        json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        + "\n"
    ).encode()


def parse_json(data: bytes, what: str) -> object:
    """The document in ``data``; InvalidInput naming ``what`` when it is no JSON."""
    try:
        document: object = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise InvalidInput(f"{what} is not JSON: {exc}", path=what) from exc
    return document


class Reader:
    """One JSON object and the path that leads to it; getters raise InvalidInput with ``path``, ``value``."""

    def __init__(self, document: object, path: str = "") -> None:
        if not isinstance(document, Mapping):
            raise InvalidInput(f"{path or 'the document'} must be an object", path=path, value=document)
        self._document: Mapping[str, object] = document
        self._path = path

    def wrong(self, key: str, expected: str) -> InvalidInput:
        """The error for ``key`` not being ``expected``."""
        path = self.path(key)
        return InvalidInput(f"{path} must be {expected}", path=path, value=self._document.get(key))

    def path(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def get(self, key: str) -> object:
        """The value as it is, None when absent."""
        return self._document.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        value = self._document.get(key, default)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "a text that is not empty")
        return value

    def choice(self, key: str, allowed: Sequence[str], default: str | None = None) -> str:
        value = self._document.get(key, default)
        if not isinstance(value, str) or value not in allowed:
            raise self.wrong(key, "one of " + ", ".join(allowed))
        return value

    def whole(self, key: str, low: int, high: int) -> int:
        value = self._document.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(key, f"a whole number from {low} to {high}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self._document.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def number(self, key: str) -> float:
        value = self._document.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise self.wrong(key, "a number")
        return float(value)

    def numbers(self, key: str) -> tuple[float, ...]:
        return tuple(
            Reader({str(i): v}, self.path(key)).number(str(i)) for i, v in enumerate(self.items(key))
        )

    def items(self, key: str) -> Sequence[object]:
        value = self._document.get(key)
        if not isinstance(value, list | tuple):
            raise self.wrong(key, "a list")
        return value

    def child(self, key: str) -> Reader:
        return Reader(self._document.get(key), self.path(key))
