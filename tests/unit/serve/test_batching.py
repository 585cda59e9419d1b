"""Batches grow with the load, keep the order, and never exceed what was admitted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.errors import Throttled, TooLarge
from skerry.serve.batching import Admission, Batcher


def test_a_lone_image_does_not_wait_for_company() -> None:
    batcher = Batcher[int](batch_max=8)
    batcher.ready(1)
    assert batcher.next() == [1]


def test_what_becomes_ready_during_a_batch_makes_the_next_one() -> None:
    batcher = Batcher[int](batch_max=2)
    for item in range(4):
        batcher.ready(item)
    first = batcher.next()
    blocked = batcher.next()
    batcher.finished()
    second = batcher.next()
    assert (first, blocked, second) == ([0, 1], [], [2, 3])


def test_a_full_queue_throttles_and_room_made_admits_again() -> None:
    admission = Admission(2)
    admission.admit(2)
    with pytest.raises(Throttled):
        admission.admit(1)
    admission.release(1)
    admission.admit(1)
    assert admission.admitted == 2


def test_more_than_can_ever_be_admitted_is_too_large_not_throttled() -> None:
    with pytest.raises(TooLarge):
        Admission(2).admit(3)


@given(st.lists(st.sampled_from(["ready", "next", "finished"])), st.integers(1, 5))
def test_items_leave_in_order_in_batches_within_the_bound(steps: list[str], batch_max: int) -> None:
    batcher = Batcher[int](batch_max=batch_max)
    given_in, taken, running = 0, [], False
    for step in steps:
        if step == "ready":
            batcher.ready(given_in)
            given_in += 1
        elif step == "finished":
            batcher.finished()
            running = False
        else:
            batch = batcher.next()
            assert len(batch) <= batch_max
            assert not (batch and running)
            running = running or bool(batch)
            taken += batch
    assert taken == list(range(len(taken)))
