import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.errors import Throttled
from skerry.mqtt.codec import Decoder, MqttError, UnsupportedVersion, encode
from skerry.mqtt.packets import (
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
)
from skerry.mqtt.receipts import Receipt
from skerry.mqtt.session import Acknowledged, ClientSession, Received, ServerSession, State
from skerry.mqtt.window import Window

CONNECT = Connect("d", clean_session=False, keep_alive_s=60)


def server(window: Window[str] | None = None) -> ServerSession[str]:
    return ServerSession(0.0, connect_timeout_s=10, window=window)


def open_server(window: Window[str] | None = None) -> ServerSession[str]:
    session = server(window)
    session.receive(encode(CONNECT), 0.0)
    session.accept(ConnAck(False), 0.0)
    session.outgoing()
    return session


def sent(session: ServerSession[str] | ClientSession[str]) -> list[Packet]:
    return Decoder().feed(session.outgoing())


def receipts(session: ServerSession[str], *packet_ids: int) -> list[Receipt]:
    found = []
    for packet_id in packet_ids:
        (event,) = session.receive(encode(Publish("t", b"", 1, packet_id=packet_id)), 0.0)
        assert isinstance(event, Received)
        assert event.receipt is not None
        found.append(event.receipt)
    return found


def test_the_first_packet_has_to_be_a_connect() -> None:
    with pytest.raises(MqttError, match="PingReq is not allowed while awaiting CONNECT"):
        server().receive(encode(PingReq()), 0.0)


def test_a_second_connect_breaks_the_protocol() -> None:
    with pytest.raises(MqttError):
        open_server().receive(encode(CONNECT), 0.0)


@pytest.mark.parametrize("packet", [ConnAck(False), SubAck(1, (0,)), PingResp()])
def test_a_packet_of_the_other_end_breaks_the_protocol(packet: Packet) -> None:
    with pytest.raises(MqttError):
        open_server().receive(encode(packet), 0.0)


def test_publishing_with_qos_2_breaks_the_protocol() -> None:
    with pytest.raises(MqttError, match="QoS 2"):
        open_server().receive(encode(Publish("t", b"", 2, packet_id=1)), 0.0)


def test_another_version_is_answered_before_the_link_ends() -> None:
    session = server()
    with pytest.raises(UnsupportedVersion):
        session.receive(bytes.fromhex("10 0e 0004 4d515454 05 02 003c 00 0001 64"), 0.0)
    assert sent(session) == [ConnAck(False, 1)]


def test_what_a_client_sends_behind_its_connect_is_held_until_it_is_accepted() -> None:
    session = server()
    subscribe = Subscribe(1, (("a", 1),))
    assert session.receive(encode(CONNECT) + encode(subscribe) + encode(PingReq()), 0.0) == [CONNECT]
    assert session.accept(ConnAck(True), 1.0) == [subscribe]
    assert sent(session) == [ConnAck(True), PingResp()]


def test_what_is_published_before_the_connack_follows_it() -> None:
    session = server()
    session.receive(encode(CONNECT), 0.0)
    session.publish("t", b"x", "first")
    assert session.outgoing() == b""
    session.accept(ConnAck(True), 0.0)
    assert sent(session) == [ConnAck(True), Publish("t", b"x", 1, packet_id=1)]


def test_a_refused_session_is_over() -> None:
    session = server()
    session.receive(encode(CONNECT) + encode(PingReq()), 0.0)
    assert session.accept(ConnAck(False, 5), 0.0) == []
    assert session.state is State.CLOSED
    assert session.receive(encode(PingReq()), 0.0) == []


@given(st.permutations(range(6)))
def test_pubacks_go_out_in_the_order_of_the_publishes(order: list[int]) -> None:
    session = open_server()
    open_ones = receipts(session, 11, 12, 13, 14, 15, 16)
    acknowledged: list[Packet] = []
    for step, place in enumerate(order):
        session.finish(open_ones[place])
        acknowledged += sent(session)
        done = set(order[: step + 1])
        leading = next((place for place in range(6) if place not in done), 6)
        assert acknowledged == [PubAck(11 + place) for place in range(leading)]


def test_a_message_is_acknowledged_once() -> None:
    session = open_server()
    session.publish("t", b"", "token")
    assert session.in_flight == 1
    assert session.receive(encode(PubAck(1)), 0.0) == [Acknowledged("token")]
    assert session.receive(encode(PubAck(1)), 0.0) == []
    assert session.in_flight == 0


def test_the_window_holds_messages_back_and_lets_them_go_in_order() -> None:
    session = open_server(Window(2))
    for name in ("a", "b", "c"):
        session.publish("t", name.encode(), name)
    assert [packet.payload for packet in sent(session) if isinstance(packet, Publish)] == [b"a", b"b"]
    session.receive(encode(PubAck(2)), 0.0)
    assert [packet.payload for packet in sent(session) if isinstance(packet, Publish)] == [b"c"]
    assert session.close() == ["a", "c"]


def test_the_window_counts_bytes_but_always_lets_one_message_go() -> None:
    window: Window[str] = Window(10, bytes_max=100)
    window.add("t", bytes(500), "big")
    window.add("t", b"", "small")
    assert len(window.ready()) == 1
    assert window.acknowledge(1) == "big"
    assert len(window.ready()) == 1


def test_a_window_with_too_many_waiting_says_so() -> None:
    window: Window[str] = Window(1, waiting_max=1)
    window.add("t", b"", "a")
    window.ready()
    window.add("t", b"", "b")
    with pytest.raises(Throttled):
        window.add("t", b"", "c")


@given(st.lists(st.sampled_from(["send", "first", "last", "reserve"]), max_size=200))
def test_a_packet_id_in_flight_is_never_given_again(steps: list[str]) -> None:
    window: Window[int] = Window(50)
    in_flight: list[int] = []
    for number, step in enumerate(steps):
        if step == "send":
            window.add("t", b"", number)
            for packet in Decoder().feed(b"".join(window.ready())):
                assert isinstance(packet, Publish)
                assert packet.packet_id not in in_flight
                in_flight.append(packet.packet_id)
        elif step == "reserve":
            packet_id = window.reserve()
            assert packet_id not in in_flight
            window.release(packet_id)
        elif in_flight:
            window.acknowledge(in_flight.pop(0 if step == "first" else -1))


def test_packet_ids_go_round_past_those_in_flight() -> None:
    window: Window[int] = Window(10)
    window.add("t", b"", 0)
    window.ready()
    assert [window.reserve() for _ in range(65534)][-1] == 65535
    window.release(2)
    assert window.reserve() == 2


def test_a_silent_client_is_dropped_after_one_and_a_half_keep_alives() -> None:
    session = open_server()
    assert session.overdue(89.9) is None
    assert session.overdue(90.0) == "keep-alive ran out"
    session.receive(encode(PingReq()), 90.0)
    assert session.overdue(179.9) is None


def test_a_client_without_keep_alive_may_be_silent() -> None:
    session = server()
    session.receive(encode(Connect("d", keep_alive_s=0)), 0.0)
    session.accept(ConnAck(False), 0.0)
    assert session.overdue(1e9) is None


def test_a_connection_that_does_not_get_to_its_connack_is_dropped() -> None:
    session = server()
    assert session.overdue(9.9) is None
    assert session.overdue(10.0) == "no CONNECT in time"
    session.receive(encode(CONNECT), 9.9)
    assert session.overdue(10.0) == "no CONNECT in time"


def client() -> ClientSession[str]:
    session: ClientSession[str] = ClientSession(CONNECT, 0.0, ping_timeout_s=20)
    session.receive(encode(ConnAck(False)))
    session.outgoing()
    return session


def test_a_client_pings_every_half_keep_alive() -> None:
    session = client()
    assert session.tick(29.9) is None
    assert session.outgoing() == b""
    assert session.tick(30.0) is None
    assert sent(session) == [PingReq()]
    session.receive(encode(PingResp()))
    assert session.tick(59.9) is None
    assert session.outgoing() == b""
    assert session.tick(60.0) is None
    assert sent(session) == [PingReq()]


def test_a_client_gives_up_a_server_that_does_not_answer_a_ping() -> None:
    session = client()
    session.tick(30.0)
    session.publish("t", b"", "still sending", dup=True)
    assert session.tick(49.9) is None
    assert session.tick(50.0) == "no answer to a ping"


def test_a_client_says_goodbye_only_when_it_was_let_in() -> None:
    session: ClientSession[str] = ClientSession(CONNECT, 0.0, ping_timeout_s=20)
    assert sent(session) == [CONNECT]
    session.disconnect()
    assert session.outgoing() == b""
    session.receive(encode(ConnAck(False)))
    session.disconnect()
    assert sent(session) == [Disconnect()]
