"""Numbers go on after a restart: none skipped, none for another message."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.errors import Damaged
from skerry.sim.progress import Progress


def test_numbering_goes_on_after_the_last_acknowledged(tmp_path: Path) -> None:
    first = Progress(tmp_path / "state" / "acknowledged")
    for number in [first.take() for _ in range(5)][:3]:
        first.acknowledge(number)
    first.keep()
    second = Progress(tmp_path / "state" / "acknowledged")
    assert (second.sent, second.take()) == (3, 4)


def test_without_a_file_numbering_starts_at_one() -> None:
    progress = Progress()
    progress.keep()
    assert progress.take() == 1


def test_a_file_with_something_else_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "acknowledged").write_text("many\n")
    with pytest.raises(Damaged):
        Progress(tmp_path / "acknowledged")


@given(st.permutations(range(1, 9)))
def test_nothing_before_the_mark_is_missing_in_whatever_order_acknowledgements_come(order: list[int]) -> None:
    progress = Progress()
    for _ in order:
        progress.take()
    seen: set[int] = set()
    for number in order:
        progress.acknowledge(number)
        seen.add(number)
        assert set(range(1, progress.acknowledged + 1)) <= seen
        assert progress.acknowledged + 1 not in seen
