"""Whether a build fits into the memory that is there."""

from __future__ import annotations

from skerry.errors import StorageFull

MB = 1_000_000
# Measured as peaks: ResNet50 (95 MB) took 826 MB, MobileNetV2 (9.7 MB) 286 MB. The file, its arrays, those
# with BatchNorm folded in, the graph, its bytes, and the engine's copies.
COPIES = 7
FIXED_BYTES = 200 * MB
# TensorFlow as the witness, in a process beside ours, and the model in it three times.
KERAS_BYTES, KERAS_COPIES = 620 * MB, 3


def needed_bytes(model: int, *, keras: bool) -> int:
    """What building a model file of so many bytes takes at its peak, without its samples."""
    ours = FIXED_BYTES + COPIES * model
    return ours + (KERAS_BYTES + KERAS_COPIES * model if keras else 0)


def check_memory(needed: int, free: int) -> None:
    """StorageFull, with the figures, when a build needs more memory than is free."""
    if needed > free:
        raise StorageFull(
            f"building this model takes some {needed // MB} MB of memory, {free // MB} MB are free",
            hint="close something, build on a larger machine, or try --reference numpy, which takes less",
            needed=needed,
            free=free,
        )
