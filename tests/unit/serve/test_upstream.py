"""Which answers leave the device: each policy, and what makes none."""

from datetime import UTC, datetime
from typing import Any

import pytest

from skerry.contract.message import MESSAGE_BYTES_MAX
from skerry.errors import InvalidInput
from skerry.package.postprocess import Prediction
from skerry.serve.answer import Latency, Scored
from skerry.serve.module_messages import summary_message
from skerry.serve.upstream import CLASSES_MAX, SOURCES_MAX, Gate, Upstream

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ONE = datetime(2026, 1, 1, 13, tzinfo=UTC)


def scored(label: str | None, score: float = 0.9) -> Scored:
    found = () if label is None else (Prediction(label, label, score, 0),)
    latency = Latency(1, 1, 1, 3)
    return Scored(found, "sha256:p", 0.5, "sha256:i", "sha256:m", "sha256:r", 1, latency, NOON)


def passed(upstream: Upstream, *answers: tuple[str, Scored]) -> list[bool]:
    gate = Gate(NOON)
    return [gate.passes(upstream, source, {"image": answer}) for source, answer in answers]


def test_all_lets_everything_pass() -> None:
    assert passed(Upstream(), ("a", scored("red")), ("a", scored("red"))) == [True, True]


def test_changes_passes_when_a_sources_best_class_is_another_one() -> None:
    answers = [
        ("a", "red"),
        ("a", "red"),
        ("b", "red"),
        ("a", "blue"),
        ("a", None),
        ("a", None),
        ("b", "red"),
    ]
    found = passed(Upstream("changes"), *((source, scored(label)) for source, label in answers))
    assert found == [True, False, True, True, True, False, False]


def test_of_too_many_sources_the_one_longest_silent_is_forgotten() -> None:
    gate, changes = Gate(NOON), Upstream("changes")
    for number in range(SOURCES_MAX + 1):
        assert gate.passes(changes, str(number), {"image": scored("red")})
    assert gate.passes(changes, "0", {"image": scored("red")})
    assert not gate.passes(changes, str(SOURCES_MAX), {"image": scored("red")})


def test_low_confidence_passes_the_doubtful_and_the_unclassified() -> None:
    answers = [scored("red", 0.9), scored("red", 0.59), scored(None), scored("red", 0.6)]
    assert passed(Upstream("lowConfidence"), *(("", each) for each in answers)) == [False, True, True, False]


def test_a_summary_counts_what_stays_and_begins_anew() -> None:
    gate, summary = Gate(NOON), Upstream("summary")
    for answer in (scored("red", 0.8), scored("blue", 0.5), scored("red", 0.6)):
        assert not gate.passes(summary, "a", {"image": answer})
    assert gate.withheld == 3
    assert gate.summary(ONE) == {
        "summary": {
            "from": "2026-01-01T12:00:00.000000Z",
            "to": "2026-01-01T13:00:00.000000Z",
            "images": 3,
            "lowestScore": 0.5,
            "classes": [
                {"label": "red", "images": 2, "meanScore": pytest.approx(0.7)},
                {"label": "blue", "images": 1, "meanScore": 0.5},
            ],
        }
    }
    assert gate.summary(ONE) is None


def test_a_summary_of_very_many_long_classes_is_bounded() -> None:
    gate = Gate(NOON)
    for number in range(CLASSES_MAX + 10):
        gate.passes(Upstream("summary"), "", {"image": scored(f"{number} " + "ü" * 10_000)})
    found = gate.summary(ONE)
    assert found is not None
    assert summary_message(found).size < MESSAGE_BYTES_MAX
    classes = found["summary"]["classes"]
    assert (len(classes), classes[0]["label"], classes[0]["images"]) == (CLASSES_MAX + 1, "(other)", 10)


@pytest.mark.parametrize(
    "value",
    [
        "sometimes",
        7,
        None,
        {"policy": 7},
        {"policy": ["all"]},
        {"policy": "summary", "intervalSeconds": 0},
        {"intervalSeconds": True},
        {"below": 2},
        {"below": "high"},
        {"every": 5},
    ],
)
def test_what_is_no_policy_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match="upstream"):
        Upstream.from_json(value)


def test_a_name_or_an_object_make_a_policy() -> None:
    assert Upstream.from_json("changes") == Upstream("changes")
    full = {"policy": "summary", "intervalSeconds": 5, "below": 0.1}
    assert Upstream.from_json(full) == Upstream("summary", 5, 0.1)
    assert Upstream.from_json(full).to_json() == full
