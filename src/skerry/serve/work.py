"""One prepared image on its way to the engine and back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from skerry.errors import SkerryError
from skerry.serve.predictor import FloatArray


class Work:
    """``done`` is called with it, in the event loop, when ``row`` or ``error`` is there.

    ``begun`` and ``ended`` (perf_counter) are its batch's. A plain class: thousands are made each second.
    """

    __slots__ = ("array", "batch", "begun", "done", "ended", "error", "row")

    row: FloatArray
    """The model's output for the image; not set when there is an error."""

    def __init__(self, array: FloatArray, done: Callable[[Work], None]) -> None:
        self.array = array
        self.done = done
        self.error: SkerryError | None = None
        self.begun = self.ended = 0.0
        self.batch = 0


class Accepts(Protocol):
    """What computes work."""

    def submit(self, works: Sequence[Work]) -> None:
        """Compute it; ``done`` may be called before this returns."""


async def computed(inference: Accepts, arrays: Sequence[FloatArray]) -> list[Work]:
    """All of them, in order. Raises the first error when all are done."""
    finished = asyncio.get_running_loop().create_future()
    left = len(arrays)

    def done(_work: Work) -> None:
        nonlocal left
        left -= 1
        if not left and not finished.done():
            finished.set_result(None)

    works = [Work(array, done) for array in arrays]
    if works:
        inference.submit(works)
        await finished
    for work in works:
        if work.error is not None:
            raise work.error
    return works
