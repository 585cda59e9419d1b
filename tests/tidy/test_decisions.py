"""Decisions are numbered once each, without a gap, and by their own first line."""

from __future__ import annotations

import re
from pathlib import Path

FILES = sorted((Path(__file__).parents[2] / "docs" / "decisions").glob("*.md"))


def test_every_number_is_given_once() -> None:
    assert [int(file.name[:4]) for file in FILES] == list(range(1, len(FILES) + 1))


def test_a_decision_begins_with_its_number() -> None:
    for file in FILES:
        first = file.read_text().splitlines()[0]
        assert re.match(rf"# {int(file.name[:4])}\. \S", first), file.name
