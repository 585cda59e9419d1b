"""From a connection's bytes to requests, within bounds (RFC 9112); no socket, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

import httptools

from skerry.serve.http.limits import Limits
from skerry.serve.http.message import Request


class Phase(Enum):
    """What the next byte belongs to."""

    START = "before a request"
    HEADERS = "in the request line or the headers"
    BODY = "in the body"
    ENDED = "nothing more is read"


@dataclass(frozen=True, slots=True)
class Continue:
    """The client waits for a word before it sends the body (RFC 9110 §10.1.1)."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What came is not answered but with this status; the connection ends."""

    status: int
    message: str


Event: TypeAlias = Request | Continue | Refusal


class RequestParser:
    """Feed it bytes, however they are cut; it gives the events they complete.

    After a Refusal, and after a request that ends the connection, further bytes are ignored.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        self._events: list[Event] = []
        self._refusal: Refusal | None = None
        self.phase = Phase.START
        self.number = 0
        """How many requests have begun."""
        self._begin()

    @property
    def held_bytes(self) -> int:
        """Of the body that is not complete yet."""
        return self._size

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes, in order."""
        # In pieces, as what comes after a piece's last event in it is not counted.
        piece_max = self._limits.header_bytes_max
        if len(data) <= piece_max:
            self._feed(data)
        else:
            for position in range(0, len(data), piece_max):
                self._feed(data[position : position + piece_max])
        events, self._events = self._events, []
        return events

    def _feed(self, data: bytes) -> None:
        if self.phase is Phase.ENDED:
            return
        # Bytes that complete nothing (an endless header, chunk extension or line break) are counted here.
        self._silent += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # We speak nothing else; what follows belongs to no protocol we know.
            self.phase = Phase.ENDED
        except httptools.HttpParserError as exc:
            # After a request that ends the connection, whatever follows is an error to httptools.
            if not self._ended():
                self._refuse(400, f"not HTTP: {_reason(exc)}")
        if self._silent > self._limits.header_bytes_max and not self._ended():
            self._refuse(431, "the headers are too large")

    # What httptools calls.

    def on_message_begin(self) -> None:
        self._begin()
        self.number += 1
        self.phase = Phase.HEADERS

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes | None) -> None:
        text = value or b""
        self._count(len(name) + len(text) + 4)
        if self.phase is not Phase.HEADERS:
            return  # A trailer: nothing of ours reads one.
        key = _header_name(name)
        found = text.decode("latin-1")
        before = self._headers.get(key)
        self._headers[key] = found if before is None else f"{before}, {found}"

    def on_headers_complete(self) -> None:
        self._silent = 0
        self.phase = Phase.BODY
        self._version = self._parser.get_http_version()
        problem = self._problem()
        if problem is not None:
            self._stop(problem)
        # A client of HTTP/1.0 expects the connection to end, or a header that nobody needs today.
        self._keep_alive = self._parser.should_keep_alive() and self._version == "1.1"
        if "expect" in self._headers and self._version != "1.0":
            self._events.append(Continue())

    def on_body(self, data: bytes) -> None:
        self._silent = 0
        self._size += len(data)
        if self._size > self._limits.body_bytes_max:
            self._stop(Refusal(413, "the request is too large"))
        self._body.append(data)

    def on_message_complete(self) -> None:
        self._silent = 0
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        path, query = _target(self._url) if len(self._url) > KEPT_URL_BYTES else _kept_target(self._url)
        keep_alive = self._keep_alive and not self._parser.should_upgrade()
        method = _method(self._parser.get_method())
        self._events.append(Request(method, path, query, self._headers, body, keep_alive))
        self._size = 0
        self._body.clear()
        self.phase = Phase.START if keep_alive else Phase.ENDED

    # Ours.

    def _ended(self) -> bool:
        return self.phase is Phase.ENDED

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._header_bytes = 0
        self._body: list[bytes] = []
        self._size = 0
        self._silent = 0
        self._keep_alive = False
        self._version = ""

    def _count(self, size: int) -> None:
        self._silent = 0
        self._header_bytes += size
        if self._header_bytes > self._limits.header_bytes_max:
            self._stop(Refusal(431, "the headers are too large"))

    def _problem(self) -> Refusal | None:
        headers = self._headers
        if self._version not in ("1.0", "1.1"):
            return Refusal(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        # RFC 9112 §3.2: a request of HTTP/1.1 without exactly one Host is refused.
        if self._version == "1.1" and ("host" not in headers or "," in headers["host"]):
            return Refusal(400, "one Host header is needed")
        # With both, two servers in a row may disagree on where the request ends (RFC 9112 §6.1).
        if "transfer-encoding" in headers:
            if "content-length" in headers or self._version == "1.0":
                return Refusal(400, "the length of the body is ambiguous")
            if headers["transfer-encoding"].lower() != "chunked":
                return Refusal(501, "only the transfer coding chunked is known")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._limits.body_bytes_max:
            return Refusal(413, "the request is too large")
        if "expect" in headers and headers["expect"].lower() != "100-continue":
            return Refusal(417, "no such expectation can be met")
        return None

    def _stop(self, refusal: Refusal) -> None:
        """Refuse from inside a callback, which ends httptools' run."""
        self._refusal = refusal
        raise _StoppedError

    def _refuse(self, status: int, message: str) -> None:
        # Only the first problem counts; what was complete before it is still answered.
        self._events.append(self._refusal or Refusal(status, message))
        self.phase = Phase.ENDED


class _StoppedError(Exception):
    """Ends the parser's run; the reason is kept beside it."""


# Clients say the same words again and again: those are decoded once.
KEPT_URL_BYTES = 256


@lru_cache(maxsize=512)
def _header_name(name: bytes) -> str:
    return name.decode("latin-1").lower()


@lru_cache(maxsize=64)
def _method(method: bytes) -> str:
    return method.decode("latin-1")


@lru_cache(maxsize=256)
def _kept_target(url: bytes) -> tuple[str, str]:
    return _target(url)


def _target(url: bytes) -> tuple[str, str]:
    """Path and query of a request target in any of its forms (RFC 9112 §3.2)."""
    text = url.decode("latin-1")
    if not text.startswith("/") and "://" in text:
        try:
            parts = urlsplit(text)
        except ValueError:
            return text, ""
        return unquote(parts.path) or "/", parts.query
    path, _, query = text.partition("#")[0].partition("?")
    return (unquote(path) if "%" in path else path), query


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:100]
