"""Both ends of a connection in memory: what one sends the other understands, in any pieces."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.amqp.composite import to_value
from skerry.amqp.connection import IDLE_TIMEOUT_S, SESSIONS_MAX, Connection
from skerry.amqp.events import Attached, Closed, Credited, Delivered, Detached, Event, Opened, Settled
from skerry.amqp.fault import AmqpError
from skerry.amqp.frames import AMQP_HEADER, FRAME_BYTES_MAX, SASL, SASL_HEADER, encode_frame
from skerry.amqp.link import CREDIT, Link
from skerry.amqp.message import Message, Properties, decode_message, encode_message
from skerry.amqp.performatives import (
    RECEIVER,
    SENDER,
    Accepted,
    Attach,
    Begin,
    Error,
    Open,
    Outcome,
    Rejected,
    SaslInit,
    Source,
    Target,
    Transfer,
)
from skerry.amqp.types import Symbol, UInt, ULong

Cut = Callable[[bytes], list[bytes]]


def whole(data: bytes) -> list[bytes]:
    return [data]


def single(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


class Pair:
    """A client and a server; ``cut`` decides in which pieces bytes arrive."""

    def __init__(self, cut: Cut = whole) -> None:
        self.cut = cut
        self.now = 0.0
        self.server = Connection("hub", 0.0, authenticate=lambda mechanism, answer: True)
        self.client = Connection("client", 0.0)
        self.at_server: list[Event] = []
        self.at_client: list[Event] = []

    def run(self) -> None:
        """Carry bytes to and fro until both are silent."""
        while True:
            up, down = self.client.outgoing(self.now), self.server.outgoing(self.now)
            if not up and not down:
                return
            for piece in self.cut(up) if up else ():
                self.at_server += self.server.receive(piece, self.now)
            for piece in self.cut(down) if down else ():
                self.at_client += self.client.receive(piece, self.now)

    def opened(self) -> Pair:
        self.run()
        assert [type(event) for event in (*self.at_server, *self.at_client)] == [Opened, Opened]
        self.at_server.clear()
        self.at_client.clear()
        return self

    def link(self, role: bool) -> tuple[Link, Link]:
        """A link in a session of its own: the client's end and the server's."""
        channel = self.client.begin()
        self.run()
        attach = Attach("link", 0, role, source=to_value(Source("from")), target=to_value(Target("to")))
        mine = self.client.attach(channel, attach)
        self.run()
        (wish,) = self.at_server
        assert isinstance(wish, Attached)
        self.server.accept(wish.link)
        self.run()
        self.at_server.clear()
        self.at_client.clear()
        return mine, wish.link


def only(kind: type[Event], events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("cut", [whole, single])
def test_messages_go_up_and_are_settled(cut: Cut) -> None:
    pair = Pair(cut).opened()
    mine, theirs = pair.link(SENDER)
    assert theirs.address == "to"
    payload = encode_message(Message(b"body", Properties(message_id=ULong(7)), {"k": "v"}))
    numbers = [pair.client.send(mine, payload) for _ in range(3)]
    pair.run()
    came = [event for event in pair.at_server if isinstance(event, Delivered)]
    assert [decode_message(event.payload) for event in came] == [decode_message(payload)] * 3
    error = Rejected(to_value(Error("amqp:not-found", "no such device")))
    outcomes: list[Outcome] = [Accepted(), error, Accepted()]
    for event, outcome in zip(came, outcomes, strict=True):
        pair.server.settle(theirs, event.delivery_id, outcome)
    pair.run()
    settled = [event for event in pair.at_client if isinstance(event, Settled)]
    assert [event.delivery_id for event in settled] == numbers
    assert [event.outcome for event in settled] == outcomes


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 300_000), min_size=1, max_size=4))
def test_large_messages_in_any_pieces(seed: int, sizes: list[int]) -> None:
    chance = random.Random(seed)

    def torn(data: bytes) -> list[bytes]:
        places = sorted(chance.randrange(len(data) + 1) for _ in range(5))
        return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]

    pair = Pair(torn).opened()
    _, theirs = pair.link(RECEIVER)
    sent = [chance.randbytes(size) for size in sizes]
    pair.server.receive(b"", 0.0)
    for payload in sent:
        pair.server.send(theirs, payload, settled=True)
    pair.run()
    came = [event.payload for event in pair.at_client if isinstance(event, Delivered)]
    assert came == sent


def test_credit_is_renewed_as_messages_are_settled_and_not_before() -> None:
    pair = Pair().opened()
    mine, theirs = pair.link(SENDER)
    for _ in range(CREDIT):
        pair.client.send(mine, b"x")
    assert not pair.client.can_send(mine)
    with pytest.raises(AmqpError, match="without credit"):
        pair.client.send(mine, b"x")
    pair.run()
    assert not pair.client.can_send(mine)
    for event in pair.at_server:
        if isinstance(event, Delivered):
            pair.server.settle(theirs, event.delivery_id, Accepted())
    pair.run()
    assert pair.client.can_send(mine)
    assert any(isinstance(event, Credited) for event in pair.at_client)


def test_more_frames_than_the_window_wait_until_it_opens() -> None:
    pair = Pair().opened()
    mine, theirs = pair.link(SENDER)
    sent = 0
    for _ in range(6000):
        if pair.client.can_send(mine):
            pair.client.send(mine, b"x", settled=True)
            sent += 1
        pair.run()
        for event in pair.at_server:
            if isinstance(event, Delivered):
                pair.server.settle(theirs, event.delivery_id, Accepted())
        pair.at_server.clear()
    assert sent > 5900


def test_a_link_is_refused_with_a_reason() -> None:
    pair = Pair().opened()
    channel = pair.client.begin()
    pair.run()
    pair.client.attach(channel, Attach("link", 0, RECEIVER, source=to_value(Source("nowhere"))))
    pair.run()
    (wish,) = pair.at_server
    assert isinstance(wish, Attached)
    pair.server.refuse(wish.link, "amqp:not-found", "no such node")
    pair.run()
    ended = pair.at_client[-1]
    assert isinstance(ended, Detached)
    assert ended.error == Error("amqp:not-found", "no such node")


def test_a_detached_link_frees_its_number() -> None:
    pair = Pair().opened()
    mine, _ = pair.link(SENDER)
    pair.client.detach(mine)
    pair.run()
    assert [type(event) for event in pair.at_server] == [Detached]
    again = pair.client.attach(mine.channel, Attach("again", 0, SENDER))
    assert again.handle == mine.handle


def test_closing_ends_every_link_and_then_the_connection() -> None:
    pair = Pair().opened()
    pair.link(SENDER)
    events = pair.client.close("amqp:connection:forced", "enough")
    assert [type(event) for event in events] == [Detached, Closed]
    pair.run()
    assert [type(event) for event in pair.at_server] == [Detached, Closed]
    assert pair.server.is_closed
    assert pair.server.receive(b"more", 0.0) == []


def test_a_silent_peer_is_given_up_and_a_quiet_one_gets_signs_of_life() -> None:
    pair = Pair().opened()
    assert pair.server.tick(IDLE_TIMEOUT_S / 2 + 1) == []
    assert pair.server.outgoing(IDLE_TIMEOUT_S / 2 + 1) == bytes.fromhex("0000000802000000")
    (closed,) = only(Closed, pair.server.tick(IDLE_TIMEOUT_S + 1))
    assert isinstance(closed, Closed)
    assert "silent" in closed.reason


def test_the_server_offers_what_clients_insist_on_and_refuses_the_rest() -> None:
    server = Connection("hub", 0.0, authenticate=lambda mechanism, answer: mechanism == "PLAIN")
    assert server.receive(SASL_HEADER, 0.0) == []
    offered = server.outgoing(0.0)
    assert offered.startswith(SASL_HEADER)
    assert b"MSSBCBS" in offered
    assert b"ANONYMOUS" in offered
    (closed,) = server.receive(encode_frame(SaslInit("ANONYMOUS"), kind=SASL), 0.0)
    assert isinstance(closed, Closed)
    other = Connection("hub", 0.0, authenticate=lambda mechanism, answer: True)
    (closed,) = other.receive(b"AMQP\x00\x00\x09\x01", 0.0)
    assert isinstance(closed, Closed)
    assert other.outgoing(0.0) == SASL_HEADER


def opened_server() -> Connection:
    """As far as a session with a link that sends to us."""
    server = Connection("hub", 0.0, authenticate=lambda mechanism, answer: True)
    frames = (Open("c"), Begin(incoming_window=10), Attach("l", 0, SENDER, target=to_value(Target("to"))))
    (opened, attached) = server.receive(AMQP_HEADER + b"".join(map(encode_frame, frames)), 0.0)
    assert isinstance(opened, Opened)
    assert isinstance(attached, Attached)
    server.accept(attached.link)
    server.outgoing(0.0)
    return server


@given(st.binary(max_size=300))
def test_garbage_at_the_start_only_closes(data: bytes) -> None:
    server = Connection("hub", 0.0, authenticate=lambda mechanism, answer: True)
    server.receive(data, 0.0)
    server.outgoing(0.0)


@settings(max_examples=300)
@given(st.binary(max_size=80), st.sampled_from([0x12, 0x13, 0x14, 0x15, 0x16, 0x11, 0x10, 0x18]))
def test_garbage_in_a_frame_only_closes(data: bytes, code: int) -> None:
    server = opened_server()
    body = b"\x00\x53" + bytes((code,)) + data
    server.receive((len(body) + 8).to_bytes(4, "big") + b"\x02\x00\x00\x00" + body, 0.0)
    server.outgoing(0.0)


@pytest.mark.parametrize(
    "frames",
    [
        [encode_frame(Transfer(5, 0), payload=b"x")],
        [encode_frame(Transfer(0), payload=b"x")],
        [encode_frame(Transfer(0, 0), 7, b"x")],
        [encode_frame(Begin())],
        [encode_frame(Open("again"))],
        [encode_frame(Transfer(0, n, settled=True), payload=b"x") for n in range(CREDIT + 1)],
        [encode_frame(Transfer(0, 0, more=True), payload=b"x" * 60_000)] * 20,
        [encode_frame(Begin(), n) for n in range(1, SESSIONS_MAX + 1)],
        [encode_frame(Attach("l", n, SENDER)) for n in range(1, 40)],
        [(FRAME_BYTES_MAX + 1).to_bytes(4, "big") + b"\x02\x00\x00\x00"],
        [AMQP_HEADER],
    ],
)
def test_a_peer_that_breaks_a_rule_is_told_so(frames: list[bytes]) -> None:
    server = opened_server()
    events = server.receive(b"".join(frames), 0.0)
    assert isinstance(events[-1], Closed)
    assert b"amqp:" in server.outgoing(0.0)


def test_a_message_keeps_its_sections() -> None:
    message = Message(
        {"key": [UInt(1), None]},
        Properties(message_id="m", to="/devices/d", content_type="application/json"),
        {"a": "b", "n": UInt(1)},
        {Symbol("x-opt-offset"): "12"},
    )
    assert decode_message(encode_message(message)) == message
    assert decode_message(encode_message(Message())) == Message()
    with pytest.raises(AmqpError):
        decode_message(b"\x40")
