"""What a push or a pull tells about itself: how far each blob is, and in the end what was moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skerry.oci.digest import Digest

# Blobs moved side by side: enough to fill a line, few enough for a small device.
TOGETHER = 3


@dataclass(frozen=True, slots=True)
class Moved:
    """A blob on its way: ``done`` of ``total`` bytes; ``skipped`` when the other end had it."""

    digest: Digest
    done: int
    total: int
    skipped: bool = False


# Told whenever a blob got further.
Watch = Callable[[Moved], None]


def unwatched(moved: Moved) -> None:
    """For whom it does not matter."""
    del moved


@dataclass
class Tally:
    """Bytes and blobs that were moved, and that were there already."""

    bytes_moved: int = 0
    bytes_skipped: int = 0
    blobs_moved: int = 0
    blobs_skipped: int = 0

    def moved(self, size: int) -> None:
        self.bytes_moved += size
        self.blobs_moved += 1

    def skipped(self, size: int) -> None:
        self.bytes_skipped += size
        self.blobs_skipped += 1
