"""Which images go into the next batch, and how many may be under way."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from skerry.errors import Throttled, TooLarge

T = TypeVar("T")


class Admission:
    """A bound on the images under way, from their arrival to their answer."""

    def __init__(self, admitted_max: int) -> None:
        self._admitted_max = admitted_max
        self.admitted = 0

    def admit(self, count: int) -> None:
        """Take responsibility for ``count`` images.

        Raises TooLarge for more than can ever be admitted together, Throttled while there is no room.
        """
        if count > self._admitted_max:
            raise TooLarge(
                f"{count} images in one request", hint=f"send at most {self._admitted_max}", count=count
            )
        if self.admitted + count > self._admitted_max:
            raise Throttled(
                f"{self.admitted} images are waiting", hint="send again a little later", waiting=self.admitted
            )
        self.admitted += count

    def release(self, count: int) -> None:
        """Images that were admitted are answered, or given up."""
        self.admitted -= count


class Batcher(Generic[T]):
    """Groups the images that are ready, first come first served.

    One batch is computed at a time: what becomes ready meanwhile makes the next one, so batches
    grow with the load and a lone image never waits for company.
    """

    def __init__(self, *, batch_max: int) -> None:
        self._batch_max = batch_max
        self._ready: deque[T] = deque()
        self.running = False

    @property
    def waiting(self) -> int:
        """How many are ready and not in a batch."""
        return len(self._ready)

    def ready(self, item: T) -> None:
        """A prepared image may be computed."""
        self._ready.append(item)

    def next(self) -> list[T]:
        """The batch to compute now: empty while one is running or nothing is ready."""
        if self.running or not self._ready:
            return []
        self.running = True
        return [self._ready.popleft() for _ in range(min(self._batch_max, len(self._ready)))]

    def finished(self) -> None:
        """The running batch is done, so ``next`` may give another."""
        self.running = False
