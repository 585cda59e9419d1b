"""Messages read back from the queue as they went in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.contract.chain import SEQUENCE_PROPERTY
from skerry.contract.message import Message
from skerry.edge.hub.envelope import Envelope, bag_of, pack, unpack
from skerry.edge.hub.router import Destination
from skerry.errors import Damaged
from skerry.store.queue import Entry, Stored
from tests.support.edge import module

TO = Destination("upstream/edge-1/camera", 3, None)


def stored(entry: Entry) -> Stored:
    return Stored(1, entry.endpoint, entry.priority, entry.expires_at, entry.body, entry.headers)


@given(
    st.binary(max_size=50),
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda k: not k.startswith("$") and "ack" not in k),
        st.one_of(st.none(), st.text(max_size=8)),
        max_size=4,
    ),
)
def test_a_message_reads_back(body: bytes, properties: dict[str, str | None]) -> None:
    properties = {k: v for k, v in properties.items() if k.isprintable() and k != "iothub-operation"}
    envelope = Envelope(module("camera"), Message(body, properties, {"contentType": "image/jpeg"}))
    entry = pack(TO, envelope, 12.5)
    assert (entry.endpoint, entry.priority, entry.expires_at) == (TO.endpoint, 3, 12.5)
    assert unpack(stored(entry)) == envelope


def test_the_sequence_is_a_number_or_nothing() -> None:
    assert Envelope(module("a"), Message(b"", {SEQUENCE_PROPERTY: "17"})).sequence == 17
    assert Envelope(module("a"), Message(b"", {SEQUENCE_PROPERTY: "x"})).sequence is None
    assert Envelope(module("a"), Message(b"")).sequence is None


@pytest.mark.parametrize("headers", [b"\xff", b"no/t/an/identity\n", b"\nx=1"])
def test_damage_is_named(headers: bytes) -> None:
    with pytest.raises(Damaged, match="entry 1"):
        unpack(Stored(1, "e", 0, None, b"", headers))


@pytest.mark.parametrize("headers", [b"\xff", b"no newline", b"edge-1/a\na=%ff", b"edge-1/a\n\xc3\xa4"])
def test_a_bag_that_nobody_would_take_is_named(headers: bytes) -> None:
    with pytest.raises(Damaged, match="entry 1"):
        bag_of(Stored(1, "e", 0, None, b"", headers))
