"""Latest frame wins: of one source's images, the one at work and the newest; those between are let go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from skerry.errors import Throttled
from skerry.serve.answer import Scored

# Each source holds one waiting image; a device has a handful of cameras.
SOURCES_MAX = 256


class Superseded(Throttled):
    """A newer image of the same source came before this one was looked at."""


class Scores(Protocol):
    """What scores images: the data plane, or this in front of it."""

    async def score(self, images: Sequence[bytes]) -> list[Scored]:
        """One answer per image."""


class LatestFrame:
    """Keeps a camera's predictions fresh when the model is slower than the camera.

    A source (a camera's name) has at most one image being scored and one waiting; a newer one takes the
    place of the waiting one, whose caller gets Superseded. Nothing of a source piles up.
    """

    def __init__(self, scores: Scores, *, sources_max: int = SOURCES_MAX) -> None:
        self._scores = scores
        self._sources_max = sources_max
        self._busy: dict[str, asyncio.Future[None] | None] = {}
        self.superseded = 0

    async def score(self, images: Sequence[bytes], source: str) -> list[Scored]:
        """As the scorer's; Superseded when a newer call of this source came while this one waited."""
        if source in self._busy:
            await self._wait(source)
        elif len(self._busy) >= self._sources_max:
            raise Throttled("too many sources at once", hint=f"at most {self._sources_max} are kept apart")
        else:
            self._busy[source] = None
        try:
            return await self._scores.score(images)
        finally:
            self._hand_over(source)

    async def _wait(self, source: str) -> None:
        before = self._busy[source]
        if before is not None and not before.done():
            self.superseded += 1
            before.set_exception(Superseded("a newer image of this source came", source=source[:100]))
        turn = self._busy[source] = asyncio.get_running_loop().create_future()
        try:
            await turn
        except asyncio.CancelledError:
            # Given up: either while waiting, or with the turn already ours, which then goes on.
            if turn.done() and not turn.cancelled():
                self._hand_over(source)
            elif self._busy.get(source) is turn:
                self._busy[source] = None
            raise

    def _hand_over(self, source: str) -> None:
        waiting = self._busy[source]
        if waiting is None or waiting.done():
            del self._busy[source]
        else:
            self._busy[source] = None
            waiting.set_result(None)
