"""Strategies for packets that are legal."""

from hypothesis import strategies as st

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
    UnsubAck,
    Unsubscribe,
    Will,
)

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
TOPICS = st.text(st.characters(codec="utf-8", exclude_characters="\0+#"), min_size=1, max_size=200)
IDS = st.integers(1, 65535)
LEVELS = st.text("abc$/ é", max_size=8)
FILTERS = st.one_of(
    st.sampled_from(["#", "+", "a/#", "+/b", "$iothub/twin/res/#"]), LEVELS.filter(lambda text: text != "")
)
WILLS = st.builds(Will, TOPICS, st.binary(max_size=50), st.integers(0, 2), st.booleans())


def _publish(topic: str, payload: bytes, qos: int, retain: bool, dup: bool, packet_id: int) -> Publish:
    return Publish(topic, payload, qos, retain, dup, packet_id if qos else 0)


def _connect(connect: Connect) -> Connect:
    """MQTT has no password without a user name."""
    if connect.username is not None:
        return connect
    return Connect(connect.client_id, connect.clean_session, connect.keep_alive_s, will=connect.will)


PUBLISHES = st.builds(
    _publish, TOPICS, st.binary(max_size=400), st.integers(0, 2), st.booleans(), st.booleans(), IDS
)
CONNECTS = st.builds(
    Connect,
    TEXT,
    st.booleans(),
    st.integers(0, 65535),
    st.none() | TEXT,
    st.none() | st.binary(max_size=60),
    st.none() | WILLS,
).map(_connect)
PACKETS: st.SearchStrategy[Packet] = st.one_of(
    PUBLISHES,
    CONNECTS,
    st.builds(ConnAck, st.booleans(), st.integers(0, 255)),
    st.builds(PubAck, IDS),
    st.builds(
        Subscribe,
        IDS,
        st.lists(st.tuples(FILTERS, st.integers(0, 2)), min_size=1, max_size=5).map(tuple),
    ),
    st.builds(SubAck, IDS, st.lists(st.sampled_from([0, 1, 128]), max_size=5).map(tuple)),
    st.builds(Unsubscribe, IDS, st.lists(FILTERS, min_size=1, max_size=5).map(tuple)),
    st.builds(UnsubAck, IDS),
    st.sampled_from([PingReq(), PingResp(), Disconnect()]),
)
