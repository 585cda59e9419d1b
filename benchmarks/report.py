"""What a benchmark found: rows of ratios, as a table for people, as JSON for machines."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

Sense = Literal[">=", "<="]


@dataclass(frozen=True)
class Side:
    """One contestant: its value in every round, and what else was seen (CPU shares, latencies)."""

    name: str
    values: Sequence[float]
    seen: Mapping[str, float] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The median."""
        return median(self.values)


@dataclass(frozen=True)
class Row:
    """Ours against one other; ``target`` None: shown for orientation only."""

    what: str
    unit: str
    ours: Side
    other: Side
    sense: Sense = ">="
    target: float | None = None

    @property
    def ratios(self) -> list[float]:
        """Ours divided by the other, round by round."""
        return [ours / other for ours, other in zip(self.ours.values, self.other.values, strict=True)]

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.ratio >= self.target if self.sense == ">=" else self.ratio <= self.target


@dataclass(frozen=True)
class Report:
    """All rows of one benchmark, with ``notes`` on how it was done."""

    name: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()


def as_document(report: Report, *, quick: bool) -> dict[str, Any]:
    """The report as JSON; ``quick`` says that its numbers mean nothing."""
    rows = [{**asdict(row), "ratio": row.ratio, "ratios": row.ratios, "met": row.met} for row in report.rows]
    machine = {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "platform": platform.platform()}
    return {
        "name": report.name,
        "quick": quick,
        "machine": machine,
        "notes": list(report.notes),
        "rows": rows,
    }


def write(report: Report, folder: Path, *, quick: bool) -> Path:
    """Write ``<name>.json`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.name}.json"
    path.write_text(json.dumps(as_document(report, quick=quick), indent=2) + "\n")
    return path


def table(report: Report) -> str:
    """The rows as aligned text."""
    lines = [["", "ours", "against", "", "ratio (min … max)", "target", ""]]
    for row in report.rows:
        spread = f"{row.ratio:.2f} ({min(row.ratios):.2f} … {max(row.ratios):.2f})"
        target = "" if row.target is None else f"{'≥' if row.sense == '>=' else '≤'} {row.target:g}"
        verdict = {None: "", True: "met", False: "MISSED"}[row.met]
        ours, other = _shown(row.ours.value, row.unit), _shown(row.other.value, row.unit)
        lines.append([row.what, ours, other, row.other.name, spread, target, verdict])
        lines += [["  " + side.name, _seen(side), "", "", "", "", ""] for side in _commented(row)]
    widths = [max(len(line[i]) for line in lines if i != 1 or line[2]) for i in range(len(lines[0]))]
    text = "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )
    return "\n".join([f"== {report.name}", text, *(f"note: {note}" for note in report.notes)])


def _commented(row: Row) -> list[Side]:
    return [side for side in (row.ours, row.other) if side.seen]


def _seen(side: Side) -> str:
    return ", ".join(f"{name} {_shown(value, '')}" for name, value in side.seen.items())


def _shown(value: float, unit: str) -> str:
    return f"{_short(value)} {unit}".strip()


def _short(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:.1f}k"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
