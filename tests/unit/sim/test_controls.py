"""A camera does what its twin says, or says why not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from skerry.errors import InvalidInput
from skerry.sim.controls import Controls, change


def test_a_change_is_applied_and_acknowledged() -> None:
    changed, reported = change(Controls(), Controls(), {"framesPerSecond": 5, "count": 9, "$version": 3}, 3)
    assert (changed.interval_s, changed.limit(4)) == (0.2, 9)
    assert reported == {
        "framesPerSecond": {"value": 5, "ac": 200, "av": 3, "ad": "applied"},
        "count": {"value": 9, "ac": 200, "av": 3, "ad": "applied"},
    }


def test_null_goes_back_to_the_default() -> None:
    changed, _ = change(Controls(count=7), Controls(count=2), {"count": None}, 4)
    assert changed.count == 2


@pytest.mark.parametrize(
    "patch",
    [
        {"framesPerSecond": -1},
        {"framesPerSecond": "5"},
        {"framesPerSecond": math.nan},
        {"count": 1.5},
        {"count": True},
        {"enabled": 1},
        {"loop": "yes"},
    ],
)
def test_nonsense_changes_nothing_and_says_why(patch: dict[str, Any]) -> None:
    changed, reported = change(Controls(), Controls(), {**patch, "count": patch.get("count", 3)}, 2)
    assert changed == Controls()
    assert {each["ac"] for each in reported.values()} == {400}


def test_the_limit_follows_enabled_count_and_loop() -> None:
    assert Controls().limit(4) == math.inf
    assert Controls(loop=False).limit(4) == 4
    assert Controls(loop=False, count=3).limit(4) == 3
    assert Controls(enabled=False).limit(4) == 0
    assert Controls(frames_per_second=0).interval_s == 0


def test_wrong_controls_cannot_be_made() -> None:
    with pytest.raises(InvalidInput):
        Controls(count=-1)
