"""Runs are judged by counts that add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.errors import InvalidInput
from skerry.sim.score import (
    Accuracy,
    Delivery,
    accuracy,
    agreement,
    confusion,
    deliveries,
    latencies,
    percentile,
)


def test_accuracy_counts_only_pictures_with_a_known_class() -> None:
    pairs = [("a", "a"), ("a", "b"), (None, "a"), ("b", None)]
    assert accuracy(pairs) == Accuracy(right=1, total=3)
    assert accuracy([]).share == 0.0


def test_agreement_compares_the_frames_both_have() -> None:
    assert agreement({"x": "a", "y": "b"}, {"x": "a", "y": "c", "z": "d"}) == Accuracy(1, 2)


def test_confusion_counts_each_truth_by_what_was_predicted() -> None:
    pairs = [("cat", "dog"), ("cat", "cat"), ("cat", "dog"), ("dog", None)]
    assert confusion(pairs) == {"cat": {"cat": 1, "dog": 2}, "dog": {"(none)": 1}}


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, p) for p in (0, 50, 99, 100)] == [1.0, 50.0, 99.0, 100.0]
    assert percentile([7.0], 50) == 7.0


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 101), ([1.0], -1)])
def test_a_percentile_of_nothing_is_refused(values: list[float], percent: float) -> None:
    with pytest.raises(InvalidInput):
        percentile(values, percent)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.integers(0, 100))
def test_at_least_the_share_asked_for_is_not_above_a_percentile(values: list[float], percent: int) -> None:
    found = percentile(values, percent)
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert found in values


def test_latencies_sum_a_run_up() -> None:
    found = latencies([1.0, 2.0, 3.0, 10.0])
    assert (found.count, found.mean, found.p50, found.p99, found.worst) == (4, 4.0, 2.0, 10.0, 10.0)


def test_a_complete_delivery_is_complete() -> None:
    [found] = deliveries([("cam", 1), ("cam", 2)], {"cam": 2}).values()
    assert found == Delivery(sent=2, received=2, duplicates=0, lost=0)
    assert found.complete


def test_losses_duplicates_and_strangers_are_told_apart() -> None:
    events = [("cam", 1), ("cam", 3), ("cam", 2), ("cam", 3), ("cam", 9), ("other", 1)]
    found = deliveries(events, {"cam": 4, "silent": 1})
    assert found["cam"] == Delivery(
        sent=4, received=3, duplicates=1, lost=1, missing=(4,), out_of_order=1, unexpected=1
    )
    assert found["silent"] == Delivery(sent=1, received=0, duplicates=0, lost=1, missing=(1,))
    assert not found["cam"].complete


def test_a_redelivered_stretch_is_duplicates_not_disorder() -> None:
    events = [("cam", n) for n in (1, 2, 3, 2, 3, 4)]
    found = deliveries(events, {"cam": 4})["cam"]
    assert (found.duplicates, found.out_of_order, found.complete) == (2, 0, True)


@given(st.integers(0, 20), st.data())
def test_what_is_sent_is_received_or_lost(sent: int, data: st.DataObject) -> None:
    arrivals = data.draw(st.lists(st.integers(1, max(sent, 1)))) if sent else []
    found = deliveries([("cam", n) for n in arrivals], {"cam": sent})["cam"]
    assert found.received + found.lost == sent
    assert found.received + found.duplicates == len(arrivals)
    assert found.out_of_order <= max(found.received - 1, 0)
