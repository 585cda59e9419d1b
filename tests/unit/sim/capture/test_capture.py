"""Frames from a source to their receiver: films lose none, live ones let the old go, all are counted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from skerry.clock import ManualClock, SystemClock
from skerry.errors import InvalidInput, NotFound, SkerryError, Throttled, Unavailable
from skerry.sim.capture.capture import BACKOFF_S_MAX, Capture, Counts, Shot
from skerry.sim.capture.source import Encoded, Grabbed, Source

PATIENCE_S = 10.0


class Film:
    """A source of named frames; ``None`` ends it, an error is raised, an event is waited for."""

    rate = 0.0

    def __init__(self, script: Sequence[str | Exception | threading.Event | None], *, live: bool) -> None:
        self._script = iter(script)
        self.live = live
        self.closed = False

    def read(self) -> Grabbed | None:
        for step in self._script:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, threading.Event):
                assert step.wait(PATIENCE_S)
                continue
            return None if step is None else Grabbed(step, partial(encode, step))
        return None

    def close(self) -> None:
        self.closed = True


def encode(name: str) -> Encoded:
    if name == "broken":
        raise InvalidInput("broken is not a picture")
    return Encoded(name.encode(), "image/jpeg")


class Receiver:
    """Takes frames while it is open; raises what it is told to first."""

    def __init__(self, *errors: SkerryError) -> None:
        self.got: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self._errors = list(errors)

    async def __call__(self, shot: Shot) -> None:
        await self.open.wait()
        if self._errors:
            raise self._errors.pop(0)
        self.got.append(shot.encoded.data.decode())


class HastyClock(SystemClock):
    """A clock that never waits, and remembers how long it should have."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)


def capture(sources: Sequence[Source | SkerryError], receiver: Receiver, **options: Any) -> Capture:
    """A capture that opens these one after the other, and then waits for the last for ever."""
    left = list(sources)

    def open_source() -> Source:
        found = left.pop(0) if left else Unavailable("no more sources")
        if isinstance(found, SkerryError):
            raise found
        return found

    settings: dict[str, Any] = {"clock": HastyClock(), "roll": lambda: 1.0, "loop": False, **options}
    return Capture(open_source, receiver, **settings)


@asynccontextmanager
async def running(capturing: Capture) -> AsyncIterator[Callable[[Callable[[], bool]], Awaitable[None]]]:
    task = asyncio.create_task(capturing.run())

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                assert not task.done(), task
                await asyncio.sleep(0.002)

    try:
        yield until
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_film_waits_for_its_receiver_and_loses_none() -> None:
    receiver, film = Receiver(Throttled("busy"), Unavailable("away")), Film(list("abcdef"), live=False)
    capturing = capture([film], receiver)
    await capturing.run()
    assert receiver.got == list("abcdef")
    assert capturing.counts == Counts(taken=6, delivered=6)
    assert film.closed


async def test_a_frame_that_is_not_wanted_is_counted_and_the_film_goes_on() -> None:
    receiver = Receiver(InvalidInput("415"))
    capturing = capture([Film(["a", "broken", "b"], live=False)], receiver)
    await capturing.run()
    assert receiver.got == ["b"]
    assert capturing.counts == Counts(taken=3, delivered=1, refused=2)


async def test_of_a_live_source_the_newest_frame_goes_and_the_others_are_counted() -> None:
    receiver, gate = Receiver(), threading.Event()
    receiver.open.clear()
    capturing = capture([Film([*"abcdef", gate], live=True)], receiver)
    async with running(capturing) as until:
        await until(lambda: capturing.counts.taken == 6)
        receiver.open.set()
        await until(lambda: len(receiver.got) == 2)
        gate.set()
    assert receiver.got[-1] == "f"
    assert capturing.counts.dropped == 4


async def test_a_lost_source_is_opened_again_with_longer_and_longer_waits() -> None:
    clock, receiver = HastyClock(), Receiver()
    sources: list[Source | SkerryError] = [
        *(Unavailable("no route"), Unavailable("no route"), Film(["a", Unavailable("lost")], live=True)),
        *(Unavailable("no route"), Film(["b", None], live=True), Film(["c"], live=True)),
    ]
    capturing = capture(sources, receiver, clock=clock)
    async with running(capturing) as until:
        await until(lambda: "c" in receiver.got)
        await until(lambda: len(clock.waits) > 20)
    assert clock.waits[:5] == [1.0, 2.0, 0.5, 1.0, 0.5]
    assert max(clock.waits) == BACKOFF_S_MAX
    assert receiver.got == ["a", "b", "c"]
    assert capturing.counts.reconnects >= 6


async def test_a_receiver_that_is_away_costs_a_live_source_frames_and_nothing_else() -> None:
    receiver, gate, end = Receiver(Unavailable("away")), threading.Event(), threading.Event()
    capturing = capture([Film(["a", gate, "b", end], live=True)], receiver)
    async with running(capturing) as until:
        await until(lambda: capturing.counts.refused == 1)
        gate.set()
        await until(lambda: receiver.got == ["b"])
        end.set()
    assert capturing.counts.delivered == 1


async def test_a_film_is_repeated_when_it_is_to_be() -> None:
    receiver = Receiver()
    capturing = capture([Film(list("ab"), live=False) for _ in range(3)], receiver, loop=True)
    async with running(capturing) as until:
        await until(lambda: len(receiver.got) == 6)
    assert receiver.got == list("ababab")


async def test_the_rate_paces_a_film() -> None:
    clock, receiver = ManualClock(), Receiver()
    capturing = capture([Film(list("abc"), live=False)], receiver, clock=clock, frames_per_second=2)
    async with running(capturing) as until:
        await until(lambda: receiver.got == ["a"])
        await until(lambda: capturing.counts.taken == 2)
        assert receiver.got == ["a"]
        await clock.advance(0.5)
        await until(lambda: receiver.got == ["a", "b"])


async def test_the_rate_leaves_frames_of_a_live_source_out() -> None:
    receiver, gate = Receiver(), threading.Event()
    film = Film([*"abcd", gate], live=True)
    capturing = capture([film], receiver, clock=ManualClock(), frames_per_second=1)
    async with running(capturing) as until:
        await until(lambda: capturing.counts.taken == 4)
        gate.set()
    assert (capturing.counts.skipped, receiver.got) == (3, ["a"])


async def test_what_will_never_open_ends_it() -> None:
    with pytest.raises(NotFound):
        await capture([NotFound("no file")], Receiver()).run()
