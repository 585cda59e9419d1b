"""Which of several ways to run a model is taken: the rule that the build and every device share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from skerry.package.candidate import PRECISIONS

Way = TypeVar("Way")

RULE = "fastest on one image with all threads; within 10 % the more exact, then the plainer engine"
# Two runs of the same engine on a shared machine differ by about as much.
ADVANTAGE = 0.9


def preferred(
    ways: Sequence[Way], precision: Callable[[Way], str], seconds: Callable[[Way], float]
) -> Way | None:
    """By precision, from the most exact down: what comes later has to be faster by a tenth.

    Of equally exact ways the first within a tenth of the fastest: the plainer engine has less to go wrong.
    None when there is no way, or none of a precision that is known.
    """
    chosen: Way | None = None
    for kind in PRECISIONS:
        alike = [way for way in ways if precision(way) == kind]
        if not alike:
            continue
        fastest = min(seconds(way) for way in alike)
        best = next(way for way in alike if ADVANTAGE * seconds(way) <= fastest)
        if chosen is None or seconds(best) < ADVANTAGE * seconds(chosen):
            chosen = best
    return chosen
