"""Frames from a source to their receiver: at a rate, over losses of either, every frame accounted for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TypeVar

from skerry.clock import Clock
from skerry.errors import InvalidInput, SkerryError, Throttled, Unavailable
from skerry.sim.capture.source import Encoded, Grabbed, Source

log = logging.getLogger(__name__)

T = TypeVar("T")

# Before a source or receiver is tried again: at first soon, then as rarely as a person would look.
BACKOFF_S_FIRST, BACKOFF_S_MAX = 0.5, 30.0


@dataclass(slots=True)
class Counts:
    """What became of the frames: ``taken`` is the sum of the others, and at most two under way."""

    taken: int = 0
    skipped: int = 0
    """More than were asked for per second."""
    dropped: int = 0
    """Let go for a newer one, because the receiver was slower."""
    delivered: int = 0
    refused: int = 0
    """The receiver said no, or could not be reached."""
    reconnects: int = 0
    """How often the source was opened again."""

    def to_json(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Shot:
    """One frame on its way."""

    number: int
    name: str
    encoded: Encoded


Deliver = Callable[[Shot], Awaitable[None]]
"""Raises InvalidInput for a frame that is not wanted, Throttled or Unavailable for not now."""


class Capture:
    """Of a live source the newest frame goes next; a film waits for its receiver and loses none."""

    def __init__(
        self,
        open_source: Callable[[], Source],
        deliver: Deliver,
        *,
        clock: Clock,
        roll: Callable[[], float],
        loop: bool = True,
        frames_per_second: float | None = None,
    ) -> None:
        self.counts = Counts()
        self.playing = False
        self._open_source = open_source
        self._deliver = deliver
        self._clock = clock
        self._roll = roll
        self._loop = loop
        self._rate = frames_per_second
        self._next: Grabbed | None = None
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._ended = False
        self._live = False

    async def run(self) -> None:
        """Play until cancelled, or until a film that is not to be repeated is delivered.

        Raises what opening raises, but for Unavailable: that is tried again for ever.
        """
        source, encoder = ThreadPoolExecutor(1, "source"), ThreadPoolExecutor(1, "encode")
        reading = asyncio.create_task(self._read_on(source))
        delivering = asyncio.create_task(self._deliver_on(encoder))
        try:
            await asyncio.wait((reading, delivering), return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in (reading, delivering):
                task.cancel()
            ends = await asyncio.gather(reading, delivering, return_exceptions=True)
            for thread in (source, encoder):
                # What blocks in it ends by its own time limit; the loop goes on meanwhile.
                await asyncio.get_running_loop().run_in_executor(None, thread.shutdown)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _read_on(self, thread: ThreadPoolExecutor) -> None:
        attempt = 0
        while True:
            taken = self.counts.taken
            try:
                over = await self._play(thread)
            except Unavailable as exc:
                over = False
                log.log(logging.DEBUG if attempt else logging.WARNING, "%s", exc)
            if over and not self._loop:
                self._ended = True
                self._arrived.set()
                return
            attempt = 0 if self.counts.taken > taken else attempt + 1
            if not over:
                self.counts.reconnects += 1
                await self._back_off(attempt)

    async def _play(self, thread: ThreadPoolExecutor) -> bool:
        """Read the source once; True at the end of a film, False at the end of a stream."""
        source = await _in(thread, self._open_source)
        self._live = source.live
        try:
            rate = source.rate if self._rate is None else self._rate
            # A live source has its own clock; of it, a rate that was asked for only leaves frames out.
            wait_s = 1 / rate if rate and not (source.live and self._rate is None) else 0.0
            due = self._clock.monotonic()
            while (grabbed := await _in(thread, source.read)) is not None:
                self.counts.taken += 1
                self.playing = True
                now = self._clock.monotonic()
                if source.live:
                    # A little early is on time: cameras tremble.
                    if now < due - wait_s / 4:
                        self.counts.skipped += 1
                    else:
                        due = max(due + wait_s, now)
                        self._offer(grabbed)
                    continue
                if now < due:
                    await self._clock.sleep(due - now)
                due = max(due, now) + wait_s
                await self._put(grabbed)
            return not source.live
        finally:
            self.playing = False
            await _in(thread, source.close)

    def _offer(self, grabbed: Grabbed) -> None:
        """The newest frame takes the place of one that nobody came for."""
        self.counts.dropped += self._next is not None
        self._next = grabbed
        self._arrived.set()

    async def _put(self, grabbed: Grabbed) -> None:
        while self._next is not None:
            self._taken.clear()
            await self._taken.wait()
        self._next = grabbed
        self._arrived.set()

    async def _deliver_on(self, encoder: ThreadPoolExecutor) -> None:
        number = 0
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            grabbed, self._next = self._next, None
            self._taken.set()
            if grabbed is not None:
                number += 1
                await self._deliver_one(encoder, number, grabbed)
            if self._ended and self._next is None:
                return

    async def _deliver_one(self, encoder: ThreadPoolExecutor, number: int, grabbed: Grabbed) -> None:
        attempt, began = 0, self._clock.monotonic()
        try:
            shot = Shot(number, grabbed.name, await _in(encoder, grabbed.encode))
            while True:
                try:
                    await self._deliver(shot)
                except (Throttled, Unavailable) as exc:
                    log.log(logging.DEBUG if attempt else logging.WARNING, "frame %s: %s", grabbed.name, exc)
                    if self._live:
                        raise
                    attempt += 1
                    await self._back_off(attempt)
                else:
                    self.counts.delivered += 1
                    milliseconds = (self._clock.monotonic() - began) * 1000
                    log.debug("frame %s is delivered after %.1f ms", grabbed.name, milliseconds)
                    return
        except (InvalidInput, Throttled, Unavailable) as exc:
            self.counts.refused += 1
            log.info("frame %s is not delivered: %s", grabbed.name, exc)
        except SkerryError as exc:
            self.counts.refused += 1
            log.error("frame %s: %s", grabbed.name, exc)

    async def _back_off(self, attempt: int) -> None:
        whole = min(BACKOFF_S_MAX, BACKOFF_S_FIRST * 2 ** min(attempt, 10))
        await self._clock.sleep(whole * (0.5 + self._roll() / 2))


async def _in(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(thread, work)
