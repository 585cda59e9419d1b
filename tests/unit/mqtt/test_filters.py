import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.errors import InvalidInput
from skerry.mqtt.filters import matches, validate_filter

TOPICS = st.lists(st.text("ab$", max_size=3), min_size=1, max_size=5).map("/".join).filter(bool)


@pytest.mark.parametrize(
    ("wanted", "topic", "fits"),
    [
        ("sport/#", "sport", True),
        ("sport/#", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/a", False),
        ("+/monitor", "$SYS/monitor", False),
        ("$SYS/#", "$SYS/a", True),
        ("$iothub/twin/res/#", "$iothub/twin/res/200/?$rid=1", True),
        ("a/b", "a/b/c", False),
    ],
)
def test_filters_match_as_in_the_standard(wanted: str, topic: str, fits: bool) -> None:
    assert matches(wanted, topic) is fits


@given(TOPICS, st.data())
def test_a_topic_is_matched_when_any_level_but_a_first_dollar_one_is_a_plus(
    topic: str, data: st.DataObject
) -> None:
    levels = topic.split("/")
    first = 1 if topic.startswith("$") else 0
    for place in range(first, len(levels)):
        if data.draw(st.booleans()):
            levels[place] = "+"
    assert matches("/".join(levels), topic)


@given(TOPICS, st.integers(1, 5))
def test_a_topic_is_matched_by_any_beginning_of_it_with_a_hash(topic: str, count: int) -> None:
    assert matches("/".join([*topic.split("/")[:count], "#"]), topic)


@pytest.mark.parametrize("text", ["", "a#", "#/a", "a+/b", "+a", "a\0", "x" * 65536])
def test_a_filter_with_a_misplaced_wildcard_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        validate_filter(text)


@pytest.mark.parametrize("text", ["#", "+", "a/#", "+/+/#", "/", "$iothub/methods/POST/#"])
def test_a_legal_filter_is_taken(text: str) -> None:
    validate_filter(text)
