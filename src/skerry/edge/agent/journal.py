"""What was done for each module lately, for ``skerry edge why``."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

# A crash loop writes two entries per round; twenty show the last hour of one.
ENTRIES_MAX = 20
MODULES_MAX = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that was done for a module, or that went wrong; ``at`` in unix seconds."""

    at: float
    text: str


class Journal:
    """The last entries of each module, in memory."""

    def __init__(self) -> None:
        self._entries: dict[str, deque[Entry]] = {}

    def write(self, module: str, at: float, text: str) -> None:
        """Add an entry; the oldest go."""
        if module not in self._entries and len(self._entries) >= MODULES_MAX:
            del self._entries[next(iter(self._entries))]
        self._entries.setdefault(module, deque(maxlen=ENTRIES_MAX)).append(Entry(at, text))

    def of(self, module: str) -> Sequence[Entry]:
        """Oldest first."""
        return tuple(self._entries.get(module, ()))
