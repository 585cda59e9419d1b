"""One request with its whole body, one response: the values between the protocol and the fronts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeAlias

Pairs: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the fronts see it; header names in lower case, repeated ones joined with a comma."""

    method: str
    path: str
    """Percent-decoded, without the query."""
    query: str = ""
    """As sent, without the question mark."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    keep_alive: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """A response with its whole body; ``content-length``, ``date`` and ``connection`` are added when sent."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: Pairs = ()


Answer: TypeAlias = Response | Awaitable[Response]
Handler: TypeAlias = Callable[[Request], Answer]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
# A header is one line: what a client sent and we echo must not become two (RFC 9112 §2.2).
_ONE_LINE = str.maketrans("", "", "\r\n\0")


def render(response: Response, *, date: str, keep_alive: bool, head: bool = False) -> bytes:
    """The bytes of a response; ``head``: of the answer to HEAD, which has no body."""
    lines = [_STATUS_LINES.get(response.status) or f"HTTP/1.1 {response.status} \r\n", "date: ", date]
    if response.content_type:
        lines += ("\r\ncontent-type: ", response.content_type)
    # RFC 9110 §8.6: no length with 1xx and 204.
    if response.status != HTTPStatus.NO_CONTENT:
        lines += ("\r\ncontent-length: ", str(len(response.body)))
    for name, value in response.headers:
        lines += ("\r\n", name, ": ", value.translate(_ONE_LINE))
    lines.append("\r\n\r\n" if keep_alive else "\r\nconnection: close\r\n\r\n")
    start = "".join(lines).encode("latin-1", "replace")
    return start if head else start + response.body
