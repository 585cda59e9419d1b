"""Whether a second model fits into memory beside the first."""

from __future__ import annotations

from pathlib import Path

from skerry.errors import StorageFull
from skerry.serve.update.settings import MB
from skerry.service.memory import free_bytes

# An engine holds the file's weights once more while it rearranges them; activations and code come on top.
FACTOR = 2
FIXED_BYTES = 16 * 1024 * 1024

# What the rest of the machine keeps when no budget is set: half of what is free now.
SHARE = 0.5


def needed_bytes(model: Path) -> int:
    """What loading and trying the model takes at its worst, estimated from its file."""
    return FACTOR * model.stat().st_size + FIXED_BYTES


def check_fits(model: Path, budget: int) -> None:
    """StorageFull, with the numbers, when the model needs more than ``budget`` (0: half of what is free)."""
    needed = needed_bytes(model)
    free = free_bytes()
    allowed = min(budget, free) if budget else int(free * SHARE)
    if needed > allowed:
        raise StorageFull(
            f"the model needs {needed // MB} MB beside the running one, {allowed // MB} MB are allowed",
            hint="raise SKERRY_UPDATE_MEMORY_MB or give the module more memory",
            needed=needed,
            allowed=allowed,
        )
