"""Every setting of a device is in docs/edge.md, with its default."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from skerry.edge.settings import EdgeSettings

DOCUMENT = Path(__file__).parents[2] / "docs" / "edge.md"


def test_every_setting_is_documented_and_nothing_else() -> None:
    section = DOCUMENT.read_text().split("## config.toml")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert documented == {field.name for field in dataclasses.fields(EdgeSettings)}
