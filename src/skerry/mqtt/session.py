"""What each end of an MQTT link may say when: bytes and time in, events and bytes out.

A server's link goes AWAITING_CONNECT → (CONNECT) ACCEPTING → (accept with code 0) OPEN → CLOSED; a
client's goes CONNECTING → (CONNACK 0) OPEN → CLOSED. SERVER_LEGAL and CLIENT_LEGAL say which packets a
state allows; anything else breaks the protocol. Packets that arrive while ACCEPTING (MQTT 3.1.1 §3.1.4
lets a client send them) are held back.

Nothing survives a link here: who wants a message delivered keeps it until its PUBACK (see ``lost``), and who
keeps subscriptions for a client does so above.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar, assert_never

from .codec import PACKET_BYTES_MAX, Decoder, MqttError, UnsupportedVersion, encode, encode_publish
from .packets import (
    ACCEPTED,
    BAD_PROTOCOL_VERSION,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)
from .receipts import Receipt, Receipts
from .window import Window

T = TypeVar("T")

# A CONNECT comes from a stranger: five fields of at most 64 KiB would be legal, real ones stay below 2 KiB.
CONNECT_BYTES_MAX = 128 * 1024
# A client may pipeline behind its CONNECT, within reason.
HELD_MAX = 1000
# MQTT 3.1.1 §3.1.2.10: the server waits one and a half times the keep-alive.
KEEP_ALIVE_FACTOR = 1.5


class State(enum.Enum):
    AWAITING_CONNECT = "awaiting CONNECT"
    ACCEPTING = "accepting"
    CONNECTING = "connecting"
    OPEN = "open"
    CLOSED = "closed"


_FROM_CLIENT = (Publish, PubAck, Subscribe, Unsubscribe, PingReq, Disconnect)
_FROM_SERVER = (Publish, PubAck, SubAck, UnsubAck, PingResp)

SERVER_LEGAL: dict[State, tuple[type, ...]] = {
    State.AWAITING_CONNECT: (Connect,),
    State.ACCEPTING: _FROM_CLIENT,
    State.OPEN: _FROM_CLIENT,
    State.CLOSED: (),
}
CLIENT_LEGAL: dict[State, tuple[type, ...]] = {
    State.CONNECTING: (ConnAck,),
    State.OPEN: _FROM_SERVER,
    State.CLOSED: (),
}


class Received(NamedTuple):
    """A message arrived; for QoS 1 ``receipt`` is to be given to ``finish`` once it is taken care of."""

    publish: Publish
    receipt: Receipt | None


class Acknowledged(NamedTuple, Generic[T]):
    """The peer has the message whose ``token`` this is."""

    token: T


class _Session(Generic[T]):
    """What both ends share: decoding, the two QoS 1 tables, the bytes to send."""

    def __init__(self, state: State, max_bytes: int, window: Window[T] | None) -> None:
        self.state = state
        self._decoder = Decoder(max_bytes)
        self._window: Window[T] = Window() if window is None else window
        self._receipts = Receipts()
        self._out: list[bytes] = []

    @property
    def in_flight(self) -> int:
        """QoS 1 messages given to ``publish`` without a PUBACK yet."""
        return len(self._window)

    def unacknowledged(self) -> list[T]:
        """The tokens of those messages, oldest first."""
        return self._window.tokens()

    def publish(self, topic: str | bytes, payload: bytes, token: T, *, dup: bool = False) -> None:
        """Send a QoS 1 message when there is room; Acknowledged(token) follows, or ``lost`` returns it."""
        if self.state is not State.OPEN:
            self._window.add(topic, payload, token, dup=dup)
        elif (packet := self._window.send(topic, payload, token, dup=dup)) is not None:
            self._out.append(packet)

    def publish_once(self, topic: str | bytes, payload: bytes) -> None:
        """Send a QoS 0 message."""
        self._out.append(encode_publish(topic, payload))

    def finish(self, receipt: Receipt) -> None:
        """A received QoS 1 message is taken care of."""
        out = self._receipts.finish(receipt)
        if out:
            self._out.append(out)

    @property
    def has_outgoing(self) -> bool:
        """Whether there is something to write."""
        return bool(self._out)

    def outgoing(self) -> bytes:
        """What to write now; each byte is returned once."""
        if not self._out:
            return b""
        out = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        return out

    def close(self) -> list[T]:
        """End the session; the tokens of the QoS 1 messages that have no PUBACK, oldest first."""
        self.state = State.CLOSED
        return self._window.lost()

    def _pump(self) -> None:
        if self.state is State.OPEN:
            self._out.extend(self._window.ready())

    def _message(self, publish: Publish) -> Received:
        if publish.qos == 1:
            return Received(publish, self._receipts.add(publish.packet_id))
        if publish.qos == 0:
            return Received(publish, None)
        # contract.md §1.7: the hub closes the link of who publishes with QoS 2.
        raise MqttError("a PUBLISH has QoS 2, which is not offered", hint="publish with QoS 0 or 1")

    def _acknowledged(self, packet: PubAck) -> Iterable[Acknowledged[T]]:
        token = self._window.acknowledge(packet.packet_id)
        if token is None:
            return ()
        if self._window.waiting:
            self._pump()
        return (Acknowledged(token),)


ServerEvent = Connect | Received | Acknowledged[T] | Subscribe | Unsubscribe | Disconnect


class ServerSession(_Session[T]):
    """The server's end of one link; ``now`` is monotonic seconds throughout."""

    def __init__(
        self,
        now: float,
        *,
        connect_timeout_s: float,
        max_bytes: int = PACKET_BYTES_MAX,
        window: Window[T] | None = None,
    ) -> None:
        super().__init__(State.AWAITING_CONNECT, min(CONNECT_BYTES_MAX, max_bytes), window)
        self._max_bytes = max_bytes
        self._held: list[Packet] = []
        self._last_heard = now
        self._connect_by = now + connect_timeout_s
        self._patience_s = 0.0

    def receive(self, data: bytes, now: float) -> list[ServerEvent[T]]:
        """What happened; MqttError ends the link (send ``outgoing`` first: it may hold the refusal)."""
        if self.state is State.CLOSED:
            return []
        self._last_heard = now
        try:
            packets = self._decoder.feed(data)
        except UnsupportedVersion:
            self._out.append(encode(ConnAck(False, BAD_PROTOCOL_VERSION)))
            raise
        events: list[ServerEvent[T]] = []
        for packet in packets:
            # Nearly all packets are of these two kinds.
            if self.state is State.OPEN and type(packet) is Publish:
                events.append(self._message(packet))
            elif self.state is State.OPEN and type(packet) is PubAck:
                events.extend(self._acknowledged(packet))
            else:
                self._handle(packet, events)
        return events

    def accept(self, answer: ConnAck, now: float) -> list[ServerEvent[T]]:
        """Answer the CONNECT; with code 0 the events that were held back follow, else the session is over."""
        self._out.append(encode(answer))
        if answer.code != ACCEPTED:
            self.state = State.CLOSED
            return []
        self.state = State.OPEN
        self._last_heard = now
        self._pump()
        held, self._held = self._held, []
        events: list[ServerEvent[T]] = []
        for packet in held:
            self._handle(packet, events)
        return events

    def grant(self, packet_id: int, codes: Iterable[int]) -> None:
        """Answer a SUBSCRIBE."""
        self._out.append(encode(SubAck(packet_id, tuple(codes))))

    def released(self, packet_id: int) -> None:
        """Answer an UNSUBSCRIBE."""
        self._out.append(encode(UnsubAck(packet_id)))

    def overdue(self, now: float) -> str | None:
        """Why the peer has been silent for too long, if it has."""
        if self.state in (State.AWAITING_CONNECT, State.ACCEPTING):
            return "no CONNECT in time" if now >= self._connect_by else None
        if self.state is State.OPEN and self._patience_s and now - self._last_heard >= self._patience_s:
            return "keep-alive ran out"
        return None

    def heard(self, now: float) -> None:
        """Count as a sign of life that we did not listen: reading was paused until now."""
        self._last_heard = now

    def _handle(self, packet: Packet, events: list[ServerEvent[T]]) -> None:
        if not isinstance(packet, SERVER_LEGAL[self.state]):
            raise MqttError(f"{type(packet).__name__} is not allowed while {self.state.value}")
        if self.state is State.ACCEPTING:
            if len(self._held) >= HELD_MAX:
                raise MqttError("too many packets before the CONNACK")
            self._held.append(packet)
            return
        match packet:
            case Publish():
                events.append(self._message(packet))
            case PubAck():
                events.extend(self._acknowledged(packet))
            case PingReq():
                self._out.append(encode(PingResp()))
            case Connect():
                self.state = State.ACCEPTING
                self._patience_s = packet.keep_alive_s * KEEP_ALIVE_FACTOR
                self._decoder.max_bytes = self._max_bytes
                events.append(packet)
            case Subscribe() | Unsubscribe() | Disconnect():
                events.append(packet)
            case ConnAck() | SubAck() | UnsubAck() | PingResp():
                raise AssertionError(packet)  # SERVER_LEGAL has none of them
            case _:
                assert_never(packet)


ClientEvent = ConnAck | Received | Acknowledged[T] | SubAck | UnsubAck


class ClientSession(_Session[T]):
    """The client's end of one link; the CONNECT is the first thing in ``outgoing``."""

    def __init__(
        self,
        connect: Connect,
        now: float,
        *,
        ping_timeout_s: float,
        max_bytes: int = PACKET_BYTES_MAX,
        window: Window[T] | None = None,
    ) -> None:
        super().__init__(State.CONNECTING, max_bytes, window)
        self._keep_alive_s = connect.keep_alive_s
        self._ping_timeout_s = ping_timeout_s
        self._opened = now
        self._pinged_at: float | None = None
        self._answered = False
        self._out.append(encode(connect))

    def receive(self, data: bytes) -> list[ClientEvent[T]]:
        """What happened; MqttError ends the link."""
        if self.state is State.CLOSED:
            return []
        self._answered = True  # any byte shows that the peer lives
        events: list[ClientEvent[T]] = []
        for packet in self._decoder.feed(data):
            self._handle(packet, events)
        return events

    def subscribe(self, filters: Iterable[tuple[str, int]]) -> int:
        """The packet id that the SubAck will bear."""
        packet_id = self._window.reserve()
        self._out.append(encode(Subscribe(packet_id, tuple(filters))))
        return packet_id

    def unsubscribe(self, filters: Iterable[str]) -> int:
        """The packet id that the UnsubAck will bear."""
        packet_id = self._window.reserve()
        self._out.append(encode(Unsubscribe(packet_id, tuple(filters))))
        return packet_id

    def disconnect(self) -> None:
        """Say good-bye, so that the server forgets the will."""
        if self.state is State.OPEN:
            self._out.append(encode(Disconnect()))

    def tick(self, now: float) -> str | None:
        """To be called a few times per keep-alive: pings; says why the link is dead, if it is.

        It pings every half keep-alive whatever else is sent: that finds a peer that takes and never answers.
        """
        if self.state is not State.OPEN or not self._keep_alive_s:
            return None
        if self._pinged_at is not None and not self._answered:
            return "no answer to a ping" if now - self._pinged_at >= self._ping_timeout_s else None
        if now - (self._opened if self._pinged_at is None else self._pinged_at) >= self._keep_alive_s / 2:
            self._pinged_at, self._answered = now, False
            self._out.append(encode(PingReq()))
        return None

    def _handle(self, packet: Packet, events: list[ClientEvent[T]]) -> None:
        if not isinstance(packet, CLIENT_LEGAL[self.state]):
            raise MqttError(f"{type(packet).__name__} is not allowed while {self.state.value}")
        match packet:
            case Publish():
                events.append(self._message(packet))
            case PubAck():
                events.extend(self._acknowledged(packet))
            case ConnAck():
                self.state = State.OPEN if packet.code == ACCEPTED else State.CLOSED
                self._pump()
                events.append(packet)
            case SubAck() | UnsubAck():
                self._window.release(packet.packet_id)
                events.append(packet)
            case PingResp():
                pass
            case Connect() | Subscribe() | Unsubscribe() | PingReq() | Disconnect():
                raise AssertionError(packet)  # CLIENT_LEGAL has none of them
            case _:
                assert_never(packet)
