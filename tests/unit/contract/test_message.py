"""Property bags read back, and are written as every SDK reads them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.contract.message import BAG_CHARS_MAX, Message, decode_bag, encode_bag
from skerry.errors import InvalidInput

WORDS = st.text(max_size=20)
SYSTEM_NAMES = ["messageId", "correlationId", "contentType", "outputName", "connectionDeviceId", "ack", "to"]
WIRE = {"ack", "iothub-ack", "iothub-operation", ""}
NAMES = WORDS.filter(lambda name: name not in WIRE and not name.startswith("$."))


@given(
    st.binary(max_size=20),
    st.dictionaries(NAMES, st.none() | WORDS, max_size=5),
    st.dictionaries(st.sampled_from(SYSTEM_NAMES), WORDS, max_size=5),
)
def test_bag_reads_back(body: bytes, properties: dict[str, str | None], system: dict[str, str]) -> None:
    message = Message(body, properties, system)
    bag = encode_bag(message)
    assert decode_bag(bag) == (properties, system)
    assert not set(bag) & set("/+#$? ")
    assert message.size == len(body) + len(bag)


def test_bag_is_written_as_sdks_write_it() -> None:
    message = Message(b"", {"a/b": "c d", "empty": "", "null": None}, {"messageId": "1", "ack": "full"})
    assert encode_bag(message) == "%24.mid=1&iothub-ack=full&a%2Fb=c%20d&empty=&null"


def test_plus_is_literal_and_dollar_may_be_plain_or_encoded() -> None:
    assert decode_bag("a=b+c&$.mid=1&%24.on=out&ack=none") == (
        {"a": "b+c"},
        {"messageId": "1", "outputName": "out", "ack": "none"},
    )


def test_system_properties_the_wire_has_no_name_for_stay_at_home() -> None:
    assert encode_bag(Message(b"", {}, {"enqueuedTime": "now"})) == ""


def test_with_system_and_with_properties_replace_and_keep() -> None:
    message = Message(b"x", {"a": "1"}, {"messageId": "m"}).with_system(messageId="n", to="t")
    assert message.with_properties({"b": None}) == Message(
        b"x", {"a": "1", "b": None}, {"messageId": "n", "to": "t"}
    )


@pytest.mark.parametrize("bag", ["a=%ff", "a" * (BAG_CHARS_MAX + 1)])
def test_illegal_bags_are_refused(bag: str) -> None:
    with pytest.raises(InvalidInput):
        decode_bag(bag)


@given(st.text(max_size=60))
def test_any_text_is_a_bag_or_invalid_input(text: str) -> None:
    with suppress(InvalidInput):
        decode_bag(text)


def test_text_that_is_not_unicode_cannot_be_sent() -> None:
    with pytest.raises(InvalidInput):
        encode_bag(Message(b"", {"a": "\ud800"}))
