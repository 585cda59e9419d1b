"""One request with its whole body, one response: the values between the protocol and the fronts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeAlias

Pairs: TypeAlias = tuple[tuple[str, str], ...]


# The values of one request are not frozen: making a frozen one costs as much as routing it.


@dataclass(slots=True)
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


@dataclass(slots=True)
class Response:
    """A response with its whole body; ``content-length``, ``date`` and ``connection`` are added when sent."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: Pairs = ()

    def with_headers(self, more: Pairs) -> Response:
        """The same with further headers."""
        return Response(self.status, self.body, self.content_type, self.headers + more)


class Later:
    """An answer to come for which no task runs: ``resolve`` is called once with it, when it is there."""

    __slots__ = ("_response", "_then", "headers")

    def __init__(self) -> None:
        self._response: Response | None = None
        self._then: Callable[[Response], None] | None = None
        self.headers: Pairs = ()
        """Added to those of the response."""

    def resolve(self, response: Response) -> None:
        """Here it is."""
        if self._then is None:
            self._response = response
        else:
            self._then(response.with_headers(self.headers) if self.headers else response)

    def or_now(self) -> Response | Later:
        """The answer itself if it is already there; what an endpoint returns."""
        return self._response or self

    def then(self, callback: Callable[[Response], None]) -> None:
        """Call back with the answer. Not for one that is already there."""
        self._then = callback


Answer: TypeAlias = Response | Later | Awaitable[Response]
Handler: TypeAlias = Callable[[Request], Answer]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
# A header is one line: what a client sent and we echo must not become two (RFC 9112 §2.2).
_ONE_LINE = str.maketrans("", "", "\r\n\0")


def render(response: Response, *, date: str, keep_alive: bool, head: bool = False) -> bytes:
    """The bytes of a response; ``head``: of the answer to HEAD, which has no body."""
    body = response.body
    text = f"{_STATUS_LINES.get(response.status) or _unknown(response.status)}date: {date}"
    if response.content_type:
        text += f"\r\ncontent-type: {response.content_type}"
    # RFC 9110 §8.6: no length with 1xx and 204.
    if response.status != 204:
        text += f"\r\ncontent-length: {len(body)}"
    for name, value in response.headers:
        if not value.isprintable():
            value = value.translate(_ONE_LINE)
        text += f"\r\n{name}: {value}"
    text += "\r\n\r\n" if keep_alive else "\r\nconnection: close\r\n\r\n"
    start = text.encode("latin-1", "replace")
    return start if head else start + body


def _unknown(status: int) -> str:
    return f"HTTP/1.1 {status} \r\n"
