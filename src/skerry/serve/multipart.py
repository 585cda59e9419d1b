"""The parts of a multipart/form-data body (RFC 7578) that is already in memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from skerry.errors import InvalidInput, TooLarge

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

# It warns of each malformed form, which the caller is told anyway: a hostile one would fill the disk.
logging.getLogger("python_multipart").setLevel(logging.ERROR)

# The tutorial sends one to six pictures; a batch beyond this is a mistake or an attack.
PARTS_MAX = 64


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form; ``filename`` is None for a plain field."""

    name: str
    filename: str | None
    content_type: str
    data: bytes


def parse_multipart(body: bytes, content_type: str) -> dict[str, bytes]:
    """The content of each part by its field name, in order; a repeated name gets ``name#2``, ``name#3`` ….

    Raises InvalidInput for a malformed body or a part without a name, TooLarge for too many parts.
    """
    found: dict[str, bytes] = {}
    for part in parse_parts(body, content_type):
        found[_unused_name(part.name, found)] = part.data
    return found


def parse_parts(body: bytes, content_type: str) -> list[Part]:
    """The parts in order. Raises as ``parse_multipart``."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise InvalidInput("multipart without a boundary", field="Content-Type")
    parts = _Parts()
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        parser.write(body)
        parser.finalize()
    except MultipartParseError as exc:
        raise InvalidInput(f"the multipart body is malformed: {exc}", field="body") from exc
    if not parts.ended:
        raise InvalidInput("the multipart body ends too early", field="body")
    return parts.found


class _Parts:
    """Collects what the parser calls out."""

    def __init__(self) -> None:
        self.found: list[Part] = []
        self.ended = False
        self._headers: dict[bytes, bytes] = {}
        self._header = b""
        self._value = b""
        self._data: list[bytes] = []

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header,
            "on_header_value": self._on_value,
            "on_header_end": self._header_end,
            "on_part_data": self._on_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.found) >= PARTS_MAX:
            raise TooLarge("too many parts in one request", hint=f"send at most {PARTS_MAX}")
        self._headers, self._data = {}, []

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _part_end(self) -> None:
        options = parse_options_header(self._headers.get(b"content-disposition", b""))[1]
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if not name:
            raise InvalidInput("a part has no name", field="Content-Disposition")
        given = options.get(b"filename")
        filename = None if given is None else given.decode("utf-8", "replace")
        kind = self._headers.get(b"content-type", b"").decode("latin-1")
        self.found.append(Part(name, filename, kind, b"".join(self._data)))

    def _end(self) -> None:
        self.ended = True


def _unused_name(name: str, found: Mapping[str, bytes]) -> str:
    if name not in found:
        return name
    return next(other for n in range(2, PARTS_MAX + 2) if (other := f"{name}#{n}") not in found)
