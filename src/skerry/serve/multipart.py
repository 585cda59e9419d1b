"""The parts of a multipart/form-data body (RFC 7578) that is already in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from skerry.errors import InvalidInput, TooLarge

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

# The tutorial sends one to six pictures; a batch beyond this is a mistake or an attack.
PARTS_MAX = 64


def parse_multipart(body: bytes, content_type: str) -> dict[str, bytes]:
    """The content of each part by its field name, in order; a repeated name gets ``name#2``, ``name#3`` ….

    Raises InvalidInput for a malformed body or a part without a name, TooLarge for too many parts.
    """
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
        self.found: dict[str, bytes] = {}
        self.ended = False
        self._name = ""
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
        self._name, self._data = "", []

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._name = parse_options_header(self._value)[1].get(b"name", b"").decode("utf-8", "replace")
        self._header = self._value = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _part_end(self) -> None:
        if not self._name:
            raise InvalidInput("a part has no name", field="Content-Disposition")
        self.found[self._unused_name()] = b"".join(self._data)

    def _end(self) -> None:
        self.ended = True

    def _unused_name(self) -> str:
        if self._name not in self.found:
            return self._name
        return next(name for n in range(2, PARTS_MAX + 2) if (name := f"{self._name}#{n}") not in self.found)
