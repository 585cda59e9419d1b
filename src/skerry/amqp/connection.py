"""One AMQP connection, either end: bytes in, events out.

    peer's header → SASL (optional) → header → open ⇄ open → sessions and links → close ⇄ close

``receive`` never raises: a peer that breaks a rule gets a close frame with the reason, and ``Closed`` is
the last event (OASIS AMQP 1.0 part 2 §2.4, part 5 §5.3).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator

from .composite import Composite, to_value
from .events import Closed, Detached, Event, Opened
from .fault import FRAMING_ERROR, NOT_ALLOWED, RESOURCE_LIMIT, AmqpError
from .frames import (
    AMQP,
    AMQP_HEADER,
    FRAME_BYTES_LEAST,
    FRAME_BYTES_MAX,
    HEARTBEAT,
    SASL,
    SASL_HEADER,
    Frame,
    FrameReader,
    ProtocolHeader,
    encode_frame,
)
from .link import Link
from .performatives import (
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Error,
    Flow,
    Open,
    Outcome,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    Transfer,
)
from .session import Session, error_of

# uamqp insists on MSSBCBS, rhea and pyamqp take ANONYMOUS (contract.md §4.8).
MECHANISMS = ("MSSBCBS", "ANONYMOUS", "PLAIN", "EXTERNAL")
SASL_OK, SASL_AUTH = 0, 1
# As IoT Hub announces it.
IDLE_TIMEOUT_S = 240.0
CHANNEL_MAX = 8191
# Clients open one session per use: $cbs, management, one per partition.
SESSIONS_MAX = 16
# Messages that are arriving in pieces, all links together.
ARRIVING_BYTES_MAX = 2 * 1024 * 1024

Authenticate = Callable[[str, bytes], bool]


class State(enum.Enum):
    HEADER = "expects a protocol header"
    SASL = "expects the client's SASL answer"
    OPENING = "expects the peer's open"
    OPEN = "open"
    CLOSED = "closed"


class Connection:
    """``authenticate`` judges a client's SASL mechanism and answer; None makes this the client's end."""

    def __init__(self, container: str, now: float, *, authenticate: Authenticate | None = None) -> None:
        self._container = container
        self._authenticate = authenticate
        self._state = State.HEADER
        self._reader = FrameReader()
        self._out = bytearray()
        self._sessions: dict[int, Session] = {}
        self._by_peer: dict[int, Session] = {}
        self._peer_frame_bytes = FRAME_BYTES_LEAST
        self._heard = self._said = now
        self._peer_idle_s: float | None = None
        self._sasl_done = False
        if authenticate is None:
            self._out += SASL_HEADER

    @property
    def is_closed(self) -> bool:
        return self._state is State.CLOSED

    @property
    def is_open(self) -> bool:
        return self._state is State.OPEN

    def receive(self, data: bytes, now: float) -> list[Event]:
        """What the peer's bytes mean; ``Closed`` is the last there will be."""
        self._heard = now
        events: list[Event] = []
        try:
            self._reader.feed(data)
            while not self.is_closed and (item := self._reader.next()) is not None:
                events += self._header(item) if isinstance(item, ProtocolHeader) else self._frame(item)
        except AmqpError as error:
            events += self._over(str(error), Error(error.condition, str(error)))
        return events

    def outgoing(self, now: float) -> bytes:
        """The bytes to write now."""
        for session in self._sessions.values():
            self._out += session.out
            session.out.clear()
        if self._out:
            self._said = now
        data, self._out = bytes(self._out), bytearray()
        return data

    def tick(self, now: float) -> list[Event]:
        """To be called every few seconds: gives signs of life, and up on a peer that gives none."""
        if self.is_closed:
            return []
        if now - self._heard > IDLE_TIMEOUT_S:
            return list(self._over("the peer is silent", Error(RESOURCE_LIMIT, "idle for too long")))
        if self.is_open and self._peer_idle_s is not None and now - self._said > self._peer_idle_s / 2:
            self._out += HEARTBEAT
        return []

    def close(self, condition: str, description: str) -> list[Event]:
        """End the connection."""
        return list(self._over(description, Error(condition, description)))

    # Links; each call is for a link that an event of this connection brought.

    def begin(self) -> int:
        """Begin a session; its channel."""
        session = self._session()
        self._send(session.begin(), session.channel)
        return session.channel

    def attach(self, channel: int, attach: Attach) -> Link:
        """Ask for a link in one of our sessions."""
        return self._sessions[channel].attach(attach)

    def accept(self, link: Link) -> None:
        self._sessions[link.channel].accept(link)

    def refuse(self, link: Link, condition: str, description: str) -> None:
        self._sessions[link.channel].refuse(link, Error(condition, description))

    def detach(self, link: Link, condition: str | None = None, description: str = "") -> None:
        """End a link; nothing happens when it has ended."""
        session = self._sessions.get(link.channel)
        if session is not None:
            session.detach(link, None if condition is None else Error(condition, description))

    def can_send(self, link: Link) -> bool:
        """Whether a message would go out now."""
        session = self._sessions.get(link.channel)
        return session is not None and link.is_open and link.credit > 0 and not session.is_blocked

    def send(self, link: Link, payload: bytes, *, settled: bool = False, track: bool = True) -> int:
        """Send a message, for which there has to be credit; its delivery id."""
        return self._sessions[link.channel].send(link, payload, settled=settled, track=track)

    def settle(self, link: Link, delivery_id: int, outcome: Outcome) -> None:
        """Answer a message; nothing happens when its link has ended."""
        session = self._sessions.get(link.channel)
        if session is not None and link.is_open:
            session.settle(link, delivery_id, outcome)

    def drained(self, link: Link) -> None:
        """Tell a peer that asked for it that there is nothing (more) to send."""
        session = self._sessions.get(link.channel)
        if session is not None and link.is_open and link.drain:
            session.drained(link)

    # Headers and SASL.

    def _header(self, header: ProtocolHeader) -> Iterator[Event]:
        if self._state is not State.HEADER:
            raise AmqpError("a protocol header in the middle", FRAMING_ERROR)
        if header.data == SASL_HEADER and not self._sasl_done:
            self._state = State.SASL
            if self._authenticate is not None:
                self._out += SASL_HEADER + encode_frame(SaslMechanisms(MECHANISMS), kind=SASL)
        elif header.data == AMQP_HEADER:
            self._state = State.OPENING
            if self._authenticate is not None:
                self._out += AMQP_HEADER
            else:
                self._send(self._open())
        else:
            # Part 2 §2.2: answer with what we do speak, and go.
            self._out += SASL_HEADER
            yield from self._over("the peer speaks another protocol", None)

    def _sasl(self, part: Composite | None) -> Iterator[Event]:
        match part:
            case SaslInit() if self._authenticate is not None:
                known = part.mechanism in MECHANISMS
                good = known and self._authenticate(part.mechanism, part.initial_response or b"")
                self._out += encode_frame(SaslOutcome(SASL_OK if good else SASL_AUTH), kind=SASL)
                if good:
                    self._state, self._sasl_done = State.HEADER, True
                else:
                    yield from self._over("the peer did not prove who it is", None)
            case SaslMechanisms() if self._authenticate is None:
                self._out += encode_frame(SaslInit("ANONYMOUS"), kind=SASL)
            case SaslOutcome(code=code) if self._authenticate is None:
                if code != SASL_OK:
                    yield from self._over(f"SASL outcome {code}", None)
                    return
                self._state, self._sasl_done = State.HEADER, True
                self._out += AMQP_HEADER
            case _:
                raise AmqpError("not a part of SASL", FRAMING_ERROR)

    # Frames.

    def _frame(self, frame: Frame) -> Iterator[Event]:
        if (frame.kind == SASL) is not (self._state is State.SASL) or self._state is State.HEADER:
            raise AmqpError("a frame in the wrong place", FRAMING_ERROR)
        if self._state is State.SASL:
            yield from self._sasl(frame.part)
            return
        match frame.part:
            case None:
                return
            case Open() if self._state is State.OPENING:
                yield self._opened(frame.part)
            case Close():
                error = error_of(frame.part.error)
                yield from self._over("the peer closed" + ("" if error is None else f": {error.condition}"))
            case Begin() if self.is_open:
                self._begun(frame.channel, frame.part)
            case End() if self.is_open:
                yield from self._ended(frame.channel)
            case Attach() | Flow() | Transfer() | Disposition() | Detach() if self.is_open:
                yield from self._in_session(frame)
            case _:
                raise AmqpError("a frame that does not fit here", NOT_ALLOWED)

    def _in_session(self, frame: Frame) -> Iterator[Event]:
        session = self._by_peer.get(frame.channel)
        if session is None:
            raise AmqpError(f"no session on channel {frame.channel}", NOT_ALLOWED)
        match frame.part:
            case Attach() as part:
                yield session.attached(part)
            case Flow() as part:
                yield from session.flowed(part)
            case Transfer() as part:
                yield from session.transferred(part, frame.payload)
                self._check_arriving()
            case Disposition() as part:
                yield from session.disposed(part)
            case Detach() as part:
                yield from session.detached(part)

    def _open(self) -> Open:
        return Open(
            container_id=self._container,
            max_frame_size=FRAME_BYTES_MAX,
            channel_max=CHANNEL_MAX,
            idle_time_out=int(IDLE_TIMEOUT_S * 1000),
        )

    def _opened(self, peer: Open) -> Event:
        self._state = State.OPEN
        self._peer_frame_bytes = max(FRAME_BYTES_LEAST, min(peer.max_frame_size, FRAME_BYTES_MAX))
        self._peer_idle_s = peer.idle_time_out / 1000 if peer.idle_time_out else None
        if self._authenticate is not None:
            self._send(self._open())
        return Opened(peer)

    def _begun(self, channel: int, begin: Begin) -> None:
        if channel in self._by_peer or channel > CHANNEL_MAX:
            raise AmqpError(f"channel {channel} cannot be used", NOT_ALLOWED)
        if begin.remote_channel is None:
            session = self._session()
            session.begun(channel, begin)
            self._send(session.begin(), session.channel)
        else:
            found = self._sessions.get(begin.remote_channel)
            if found is None or found.peer_channel is not None:
                raise AmqpError("an answer to no session of ours", NOT_ALLOWED)
            session = found
            session.begun(channel, begin)
        self._by_peer[channel] = session

    def _ended(self, channel: int) -> Iterator[Event]:
        session = self._by_peer.pop(channel, None)
        if session is None:
            raise AmqpError(f"no session on channel {channel}", NOT_ALLOWED)
        self._out += session.out
        del self._sessions[session.channel]
        self._send(End(), session.channel)
        yield from _detached(session)

    def _session(self) -> Session:
        free = next((number for number in range(SESSIONS_MAX) if number not in self._sessions), None)
        if free is None:
            raise AmqpError(f"more than {SESSIONS_MAX} sessions", RESOURCE_LIMIT)
        session = Session(free, self._peer_frame_bytes)
        self._sessions[free] = session
        return session

    def _check_arriving(self) -> None:
        links = (link for session in self._sessions.values() for link in session.links)
        if sum(len(link.arriving or b"") for link in links) > ARRIVING_BYTES_MAX:
            raise AmqpError("too many messages in pieces", RESOURCE_LIMIT)

    def _over(self, reason: str, error: Error | None = None) -> Iterator[Event]:
        if self.is_closed:
            return
        for session in self._sessions.values():
            self._out += session.out
            session.out.clear()
        if self._state in (State.OPENING, State.OPEN):
            if self._state is State.OPENING and self._authenticate is not None:
                self._send(self._open())
            self._send(Close(None if error is None else to_value(error)))
        self._state = State.CLOSED
        for session in self._sessions.values():
            yield from _detached(session)
        self._sessions.clear()
        yield Closed(reason)

    def _send(self, part: Composite, channel: int = 0) -> None:
        self._out += encode_frame(part, channel, kind=AMQP)


def _detached(session: Session) -> Iterator[Event]:
    for link in session.links:
        if link.is_open:
            link.is_open = False
            yield Detached(link)
