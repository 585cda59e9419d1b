"""Docker's HEALTHCHECK: what is run, and what becomes of its results."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.edge.engine.health import Probe, Verdict, probe_of
from skerry.errors import InvalidInput

SECOND = 1_000_000_000
PROBE = Probe(("check",), retries=3, start_period_s=10)


def test_a_module_without_a_check_has_no_probe() -> None:
    assert probe_of(None, None) is None
    assert probe_of({"Test": ["CMD", "x"]}, {"Test": ["NONE"]}) is None


def test_create_options_win_over_the_image_field_by_field() -> None:
    image = {"Test": ["CMD", "curl", "x"], "Interval": 5 * SECOND, "Retries": 7}
    assert probe_of(image, {"Timeout": 2 * SECOND}) == Probe(("curl", "x"), 5, 2, 0, 7)
    shell = probe_of(image, {"Test": ["CMD-SHELL", "a && b"]})
    assert shell is not None
    assert shell.argv == ("/bin/sh", "-c", "a && b")


@pytest.mark.parametrize(
    "check",
    [{"Test": "curl"}, {"Test": ["RUN", "x"]}, {"Test": ["CMD"]}, {"Test": ["CMD", "x"], "Timeout": -1}],
)
def test_nonsense_is_refused(check: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="Healthcheck"):
        probe_of(None, check)


def test_failures_while_it_starts_do_not_count_and_a_success_ends_the_start() -> None:
    starting = Verdict().after(PROBE, False, "not yet", 5)
    assert (starting.health, starting.failures) == ("starting", 0)
    assert starting.after(PROBE, True, "", 6).after(PROBE, False, "", 7).failures == 1


@given(st.lists(st.booleans(), max_size=50))
def test_it_is_unhealthy_exactly_after_its_retries_failed_in_a_row(results: list[bool]) -> None:
    verdict, streak = Verdict("healthy"), 0
    for ok in results:
        verdict = verdict.after(PROBE, ok, "", 100)
        streak = 0 if ok else streak + 1
        assert (verdict.health == "unhealthy") == (streak >= PROBE.retries)
