"""When a module is started again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.edge.agent.restart import (
    BACKOFF_MAX_S,
    backoff_s,
    due_at,
    restart_due_at,
    settled,
    wants_restart,
)
from skerry.edge.agent.state import NEVER, Tally
from tests.unit.edge.agent.builders import NOON, seen


def test_the_wait_doubles_from_ten_seconds_to_five_minutes() -> None:
    assert [backoff_s(n) for n in range(7)] == [10, 20, 40, 80, 160, 300, 300]


@given(st.integers(-10, 10**9))
def test_the_wait_is_bounded_for_any_count(count: int) -> None:
    assert 10 <= backoff_s(count) <= BACKOFF_MAX_S


@given(st.floats(-1e12, 1e12), st.integers(0, 100), st.floats(-1e12, 1e12))
def test_a_clock_that_went_back_means_now(since: float, count: int, now: float) -> None:
    assert due_at(since, count, now) <= max(now, since + BACKOFF_MAX_S)
    if since > now:
        assert due_at(since, count, now) == now


@pytest.mark.parametrize(
    ("policy", "ended_well", "failed", "ill"),
    [
        ("always", True, True, True),
        ("on-unhealthy", False, True, True),
        ("on-failure", False, True, False),
        ("never", False, False, False),
    ],
)
def test_policies(policy: str, ended_well: bool, failed: bool, ill: bool) -> None:
    assert wants_restart(policy, seen(status="exited", exit_code=0)) is ended_well
    assert wants_restart(policy, seen(status="exited", exit_code=1)) is failed
    assert wants_restart(policy, seen(health="unhealthy")) is ill
    assert wants_restart(policy, seen()) is False


def test_an_exit_is_followed_by_the_wait_of_its_count() -> None:
    exited = seen(status="exited", exit_code=1, started_at=NOON - 60, finished_at=NOON)
    assert restart_due_at(exited, Tally(3, NOON - 100), NOON) == NOON + 80


def test_a_module_that_was_well_is_back_at_once_and_one_that_ended_at_once_is_not() -> None:
    exited = seen(status="exited", exit_code=1, started_at=NOON - 60, finished_at=NOON)
    assert restart_due_at(exited, NEVER, NOON) <= NOON
    at_once = seen(status="exited", exit_code=1, started_at=NOON - 1, finished_at=NOON)
    assert restart_due_at(at_once, NEVER, NOON) == NOON + 9


def test_an_ill_module_is_restarted_at_once_the_first_time_only() -> None:
    ill = seen(health="unhealthy")
    assert restart_due_at(ill, NEVER, NOON) == NOON
    assert restart_due_at(ill, Tally(2, NOON), NOON) == NOON + 20


def test_ten_healthy_minutes_are_forgiven() -> None:
    tally = Tally(5, NOON)
    assert settled(tally, seen(started_at=NOON), NOON + 599) == tally
    assert settled(tally, seen(started_at=NOON), NOON + 600) == NEVER
    assert settled(tally, seen(started_at=NOON, health="unhealthy"), NOON + 600) == tally
