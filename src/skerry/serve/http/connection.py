"""One client's connection: requests are answered in order, within time limits, over the socket."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import Protocol, cast

from skerry.serve.http.limits import Limits
from skerry.serve.http.message import CONTINUE, Handler, Later, Request, Response, render
from skerry.serve.http.parser import Continue, Event, Phase, Refusal, RequestParser

log = logging.getLogger(__name__)

# Pieces in which received data is parsed, so that a flood of tiny pipelined requests stops between two.
PIECE_BYTES = 64 * 1024

# Retry-After of our own 503s: a connection or some memory is free again by then.
RETRY_AFTER_S = 1


class Owner(Protocol):
    """What all connections of a listener share."""

    limits: Limits
    handler: Handler
    connections: set[Connection]
    stopping: bool
    held_bytes: int

    def date(self) -> str:
        """The Date header's value (RFC 9110 §6.6.1)."""

    def lost(self, connection: Connection) -> None:
        """The connection has ended."""


class Connection(asyncio.Protocol):
    """Made by the listener for each client; ``expire`` is called now and then with the loop's time."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._limits = owner.limits
        self._loop = asyncio.get_running_loop()
        self._parser = RequestParser(owner.limits)
        self._transport: asyncio.Transport | None = None
        self._queue: deque[Event] = deque()
        self._answered: Request | None = None
        """The request whose answer is to come."""
        self._task: asyncio.Task[None] | None = None
        self._unparsed = b""
        self._held = 0
        self._queued_bytes = 0
        self._reading = True
        self._writable = True
        self._eof = False
        self._lingering = False
        self._begun = 0.0
        self._number = 0
        self._deadline = 0.0

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do all that asyncio.Transport says, and derive from nothing.
        self._transport = cast(asyncio.Transport, transport)
        self._deadline = self._loop.time() + self._limits.header_s
        if self._owner.stopping or len(self._owner.connections) >= self._limits.connections_max:
            self._owner.connections.add(self)
            self._refuse(Refusal(503, "too many connections"))
            return
        self._owner.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        if self._free() and len(data) <= PIECE_BYTES:
            # The usual case, one whole request: nothing of it is queued or counted.
            events = self._parser.feed(data)
            if len(events) == 1 and isinstance(events[0], Request) and self._parser.phase is Phase.START:
                self._begin_answer(events[0])
                self._advance()
                return
            self._enqueue(events)
            self._read(self._parser.phase is not Phase.ENDED)
        else:
            self._parse(self._unparsed + data if self._unparsed else data)
        self._account()
        if self._parser.phase is Phase.BODY and self._owner.held_bytes > self._limits.held_bytes_max:
            self._refuse(Refusal(503, "too many requests are held"))
            return
        self._advance()

    def eof_received(self) -> bool:
        """True keeps our half open: who closes theirs after the request still gets the answer."""
        self._eof = True
        return bool(self._answered or self._queue) and not self._lingering

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._drop()
        self._owner.lost(self)
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable = False
        self._deadline = self._loop.time() + self._limits.write_s

    def resume_writing(self) -> None:
        self._writable = True
        self._advance()

    # What the listener calls.

    def expire(self, now: float) -> None:
        """End what has taken too long."""
        if now < self._deadline or self._transport is None:
            return
        if self._lingering or not self._writable:
            self._transport.abort()
        elif self._answered is None:
            if self._parser.phase in (Phase.HEADERS, Phase.BODY):
                self._refuse(Refusal(408, "the request took too long"))
            else:
                self._transport.close()

    def stop(self) -> None:
        """Take no further request; an idle connection closes now, a busy one after its answer."""
        if self._transport is None or self._answered is not None or self._queue:
            return
        if self._parser.phase is not Phase.BODY and not self._lingering:
            self._transport.close()

    def abort(self) -> None:
        """End now, answered or not."""
        if self._transport is not None:
            self._transport.abort()

    # Ours.

    def _parse(self, data: bytes) -> None:
        """Parse piece by piece until enough requests wait; the rest stays unparsed and unread."""
        position = 0
        while position < len(data):
            if len(self._queue) >= self._limits.pipelined_max:
                break
            piece = data[position : position + PIECE_BYTES] if len(data) > PIECE_BYTES else data
            self._enqueue(self._parser.feed(piece))
            position += len(piece)
        self._unparsed = data[position:]
        self._read(len(self._queue) < self._limits.pipelined_max and self._parser.phase is not Phase.ENDED)

    def _free(self) -> bool:
        """Whether a request that came now would be answered next, and at once."""
        return self._answered is None and not self._queue and not self._unparsed and self._writable

    def _enqueue(self, events: Sequence[Event]) -> None:
        for event in events:
            self._queue.append(event)
            if isinstance(event, Request):
                self._queued_bytes += len(event.body)

    def _read(self, wanted: bool) -> None:
        """Take more bytes from the client, or leave them with it."""
        if self._transport is None or wanted == self._reading:
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _advance(self) -> None:
        """Answer what can be answered now; then wait for the client, or for the answer at work."""
        while self._transport is not None and self._answered is None and self._writable:
            if not self._queue and self._unparsed:
                self._parse(self._unparsed)
            if not self._queue:
                break
            self._take(self._queue.popleft())
        self._wait()

    def _take(self, event: Event) -> None:
        match event:
            case Request():
                self._queued_bytes -= len(event.body)
                self._begin_answer(event)
            case Continue():
                # Too late to matter when the body is already here, and harmless.
                self._write(CONTINUE)
            case Refusal():
                self._refuse(event)

    def _begin_answer(self, request: Request) -> None:
        try:
            answer = self._owner.handler(request)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            answer = FAILED
        if isinstance(answer, Response):
            self._respond(request, answer)
            return
        self._answered = request
        self._queued_bytes += len(request.body)
        self._account()
        if isinstance(answer, Later):
            answer.then(self._settle)
        else:
            self._task = self._loop.create_task(self._answer(request, answer))

    async def _answer(self, request: Request, answer: Awaitable[Response]) -> None:
        try:
            response = await answer
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            response = FAILED
        self._task = None
        self._settle(response)

    def _settle(self, response: Response) -> None:
        """The answer has come; nobody may be there to take it."""
        request, self._answered = self._answered, None
        if request is None or self._transport is None or self._lingering:
            return
        self._queued_bytes -= len(request.body)
        self._respond(request, response)
        self._advance()

    def _respond(self, request: Request, response: Response) -> None:
        if self._transport is None:
            return
        last = self._eof and not self._queue and not self._unparsed
        keep_alive = request.keep_alive and not self._owner.stopping and not last
        head = request.method == "HEAD"
        self._transport.write(render(response, date=self._owner.date(), keep_alive=keep_alive, head=head))
        if not keep_alive:
            self._drop()
            self._transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """Say why, then let the client read it: closing with unread data would reset the connection."""
        headers = (("retry-after", str(RETRY_AFTER_S)),) if refusal.status == 503 else ()
        response = Response(refusal.status, _message(refusal.message), "application/json", headers)
        self._write(render(response, date=self._owner.date(), keep_alive=False))
        self._drop()
        self._lingering = True
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._read(True)
            if self._transport.can_write_eof() and not self._eof:
                self._transport.write_eof()
            else:
                self._transport.close()
        self._deadline = self._loop.time() + self._limits.linger_s

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _wait(self) -> None:
        """Set how long the client may take for what is due from it."""
        if self._lingering or not self._writable or self._transport is None or self._answered is not None:
            return
        now, phase = self._loop.time(), self._parser.phase
        if self._number != self._parser.number:
            self._number, self._begun = self._parser.number, now
        if phase is Phase.HEADERS:
            self._deadline = self._begun + self._limits.header_s
        elif phase is Phase.BODY:
            whole = self._begun + self._limits.header_s + self._limits.body_s
            self._deadline = min(now + self._limits.stall_s, whole)
        else:
            self._deadline = now + self._limits.idle_s
        if not self._queue:
            self._account()
            self._read(phase is not Phase.ENDED)
            if self._eof and phase is Phase.START:
                self._transport.close()

    def _account(self) -> None:
        """Tell the owner how many bytes wait here for an answer."""
        held = self._parser.held_bytes + len(self._unparsed) + self._queued_bytes
        self._owner.held_bytes += held - self._held
        self._held = held

    def _drop(self) -> None:
        """Forget what has not been answered."""
        self._queue.clear()
        self._unparsed = b""
        self._queued_bytes = 0
        self._owner.held_bytes -= self._held
        self._held = 0


def _message(text: str) -> bytes:
    return json.dumps({"message": text}).encode()


# The answer to a request that a mistake of ours left without one.
FAILED = Response(500, _message("internal error"), "application/json")
