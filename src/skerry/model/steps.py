"""How long each step of a build takes."""

from __future__ import annotations

from time import perf_counter


class Steps:
    """Seconds by step; a step lasts until the next begins."""

    def __init__(self, first: str) -> None:
        self._seconds: dict[str, float] = {}
        self._current, self._since = first, perf_counter()

    def begin(self, step: str) -> None:
        """The step before has ended. A step that comes twice is added up."""
        now = perf_counter()
        self._seconds[self._current] = self._seconds.get(self._current, 0.0) + now - self._since
        self._current, self._since = step, now

    def end(self) -> dict[str, float]:
        """All steps, in the order they began."""
        self.begin("")
        return dict(self._seconds)
