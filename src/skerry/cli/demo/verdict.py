"""Whether everything the demo claims adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One claim: what was counted, what it has to be, and whether it is."""

    claim: str
    found: str
    holds: bool


def rows(checks: Sequence[Check]) -> list[tuple[str, str, str]]:
    """For the summary table."""
    return [(check.claim, check.found, "ok" if check.holds else "WRONG") for check in checks]


def all_hold(checks: Sequence[Check]) -> bool:
    """The demo's exit status is 0 only then; nothing checked is nothing shown."""
    return bool(checks) and all(check.holds for check in checks)
