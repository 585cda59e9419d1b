import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.errors import InvalidInput
from skerry.mqtt.codec import PACKET_BYTES_MAX, Decoder, MqttError, UnsupportedVersion, encode
from skerry.mqtt.packets import Connect, Packet, PingReq, PubAck, Publish
from tests.unit.mqtt.packets import PACKETS


@given(PACKETS)
def test_what_is_encoded_decodes_to_the_same_packet(packet: Packet) -> None:
    assert Decoder().feed(encode(packet)) == [packet]


@given(st.lists(PACKETS, max_size=8), st.lists(st.integers(0, 2000), max_size=12))
def test_any_chunking_gives_the_same_packets(packets: list[Packet], cuts: list[int]) -> None:
    stream = b"".join(map(encode, packets))
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    decoder = Decoder()
    seen: list[Packet] = []
    for start, end in itertools.pairwise(edges):
        seen += decoder.feed(stream[start:end])
    assert seen == packets


@given(st.lists(PACKETS, min_size=1, max_size=4))
def test_single_bytes_give_the_same_packets(packets: list[Packet]) -> None:
    decoder = Decoder()
    seen: list[Packet] = []
    for byte in b"".join(map(encode, packets)):
        seen += decoder.feed(bytes((byte,)))
    assert seen == packets


@given(st.binary(max_size=300))
def test_garbage_gives_packets_or_an_mqtt_error(data: bytes) -> None:
    decoder = Decoder()
    try:
        packets = decoder.feed(data)
    except MqttError:
        return
    assert Decoder().feed(b"".join(map(encode, packets))) == packets


@given(PACKETS, st.data())
def test_a_flipped_bit_gives_packets_or_an_mqtt_error(packet: Packet, data: st.DataObject) -> None:
    stream = bytearray(encode(packet))
    stream[data.draw(st.integers(0, len(stream) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        packets = Decoder().feed(bytes(stream))
    except MqttError:
        return
    assert Decoder().feed(b"".join(map(encode, packets))) == packets


def test_the_bytes_are_those_of_the_standard() -> None:
    assert encode(Publish("a/b", b"hi", 1, packet_id=10)).hex() == "3209" + "0003612f62" + "000a" + "6869"
    assert encode(PubAck(258)).hex() == "40020102"
    connect = Connect("d", False, 60, "u", b"p")
    assert (
        encode(connect).hex()
        == "1013" + "00044d515454" + "04" + "c0" + "003c" + "000164" + "000175" + "000170"
    )


@pytest.mark.parametrize("length", [0, 121, 122, 16_377, 16_378, 256 * 1024])
def test_a_payload_of_any_length_survives(length: int) -> None:
    packet = Publish("t", bytes(length), 1, packet_id=1)
    assert Decoder().feed(encode(packet)) == [packet]


def test_a_packet_over_the_bound_is_refused_by_its_head_alone() -> None:
    stream = encode(Publish("t", bytes(PACKET_BYTES_MAX)))
    with pytest.raises(MqttError, match="over the bound"):
        Decoder().feed(stream[:6])


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param("00 00", id="reserved packet type"),
        pytest.param("36 05 0001 61 0001", id="QoS 3"),
        pytest.param("32 05 0001 61 0000", id="packet id 0"),
        pytest.param("30 03 0001 23", id="wildcard in a topic"),
        pytest.param("30 02 0000", id="empty topic"),
        pytest.param("30 03 0001 ff", id="topic that is not UTF-8"),
        pytest.param("30 03 0005 61", id="topic cut short"),
        pytest.param("82 02 0001", id="SUBSCRIBE without filter"),
        pytest.param("82 06 0001 0001 61 03", id="SUBSCRIBE with QoS 3"),
        pytest.param("80 06 0001 0001 61 01", id="SUBSCRIBE with wrong flags"),
        pytest.param("c0 01 00", id="PINGREQ with a body"),
        pytest.param("30 ff ff ff ff 7f", id="length of five bytes"),
        pytest.param("10 0d 0004 4d515454 04 03 003c 0001 64", id="CONNECT with the reserved flag"),
        pytest.param("10 0d 0004 4d515454 04 42 003c 0001 64", id="password without user name"),
        pytest.param("10 0d 0004 58515454 04 02 003c 0001 64", id="another protocol"),
    ],
)
def test_what_breaks_the_standard_is_refused(stream: str) -> None:
    with pytest.raises(MqttError):
        Decoder().feed(bytes.fromhex(stream))


def test_another_version_of_mqtt_is_told_apart_from_garbage() -> None:
    with pytest.raises(UnsupportedVersion):
        Decoder().feed(bytes.fromhex("10 0e 0004 4d515454 05 02 003c 00 0001 64"))


def test_half_a_surrogate_pair_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidInput):
        encode(Publish("\ud800", b""))


def test_a_connect_does_not_show_its_password() -> None:
    assert "secret" not in repr(Connect("d", username="secret name", password=b"secret"))


def test_an_incomplete_packet_waits_for_its_rest() -> None:
    decoder = Decoder()
    assert decoder.feed(encode(PingReq())[:1]) == []
    assert decoder.feed(encode(PingReq())[1:]) == [PingReq()]
