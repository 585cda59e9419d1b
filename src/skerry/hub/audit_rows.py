"""The audit log as rows; everything here runs inside a transaction."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from skerry.store.storage import Transaction

# Older entries go; at ten changes a minute this is more than two months.
ENTRIES_MAX = 1_000_000
# How many are inserted between two looks at the bound.
TRIM_EVERY = 1_000


@dataclass(frozen=True, slots=True)
class Entry:
    """Who did what to what, from where; ``before`` and ``after`` are etags, ``detail`` names what changed."""

    time: str
    who: str
    origin: str
    action: str
    target: str
    before: str
    after: str
    detail: str


def insert(connection: Transaction, entry: Entry) -> None:
    """Add an entry; the oldest go beyond the bound."""
    done = connection.execute(
        "INSERT INTO audit (time, who, origin, action, target, before, after, detail)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.time,
            entry.who,
            entry.origin,
            entry.action,
            entry.target,
            entry.before,
            entry.after,
            entry.detail,
        ),
    )
    sequence = done.lastrowid or 0
    if sequence % TRIM_EVERY == 0:
        connection.execute("DELETE FROM audit WHERE sequence <= ?", (sequence - ENTRIES_MAX,))


def listed(
    connection: Transaction, before: int | None, limit: int, target: str | None, who: str | None
) -> list[dict[str, Any]]:
    """The newest entries first, those older than the entry ``before`` if given."""
    rows = connection.execute(
        "SELECT sequence, time, who, origin, action, target, before, after, detail FROM audit"
        " WHERE sequence < coalesce(?, 9223372036854775807) AND target = coalesce(?, target)"
        " AND who = coalesce(?, who) ORDER BY sequence DESC LIMIT ?",
        (before, target, who, limit),
    )
    return [{"sequence": sequence, **asdict(Entry(*values))} for sequence, *values in rows]
