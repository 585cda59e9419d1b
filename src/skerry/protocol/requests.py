"""Twin requests of a device that wait for their answers: asked again on each new connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from skerry.contract.json_text import parse_json
from skerry.errors import InvalidInput, NotAllowed, NotFound, SkerryError, Throttled, TimedOut, Unavailable

REQUESTS_MAX = 1000

Send = Callable[[str, bytes], object]


@dataclass(frozen=True, slots=True)
class Answer:
    """``version`` is the new one of the reported properties after a patch."""

    status: int
    version: int | None
    body: bytes


@dataclass(slots=True)
class _Request:
    topic: str
    payload: bytes
    answer: asyncio.Future[Answer]


class Requests:
    """Pairs answers with requests by id. Asking again is safe: a twin is read, a merge patch idempotent."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Request] = {}
        self._last = 0
        self._send: Send | None = None
        self._stopped: str | None = None

    async def ask(self, topic: Callable[[str], str], payload: bytes) -> Answer:
        """The hub's answer, however long that takes; a refusal is raised as its kind of error."""
        if self._stopped is not None:
            raise Unavailable(self._stopped)
        if len(self._waiting) >= REQUESTS_MAX:
            raise Throttled("too many twin requests wait for an answer")
        self._last += 1
        rid = f"{self._last:x}"
        request = _Request(topic(rid), payload, asyncio.get_running_loop().create_future())
        self._waiting[rid] = request
        try:
            if self._send is not None:
                self._send(request.topic, request.payload)
            answer = await request.answer
        finally:
            self._waiting.pop(rid, None)
        if answer.status >= 300:
            raise _refusal(answer)
        return answer

    def answered(self, rid: str, answer: Answer) -> None:
        """The hub answered; an answer nobody waits for is dropped."""
        request = self._waiting.get(rid.lower())
        if request is not None and not request.answer.done():
            request.answer.set_result(answer)

    def attach(self, send: Send) -> None:
        """A connection that listens to answers is there: everything open is asked (again), oldest first."""
        self._send = send
        for request in self._waiting.values():
            send(request.topic, request.payload)

    def detach(self) -> None:
        self._send = None

    def stop(self, reason: str) -> None:
        """Nothing will be asked any more: all who wait hear ``reason``."""
        self._send = None
        self._stopped = reason
        for request in self._waiting.values():
            if not request.answer.done():
                request.answer.set_exception(Unavailable(reason))


def _refusal(answer: Answer) -> SkerryError:
    text = _text(answer) or f"the hub answered {answer.status}"
    match answer.status:
        case 400 | 413:
            return InvalidInput(text)
        case 401 | 403:
            return NotAllowed(text)
        case 404:
            return NotFound(text)
        case 429:
            return Throttled(text)
        case 504:
            return TimedOut(text)
        case _:
            return Unavailable(text)


def _text(answer: Answer) -> str:
    try:
        document = parse_json(answer.body)
    except SkerryError:
        return ""
    return str(document.get("message", "")) if isinstance(document, dict) else ""
