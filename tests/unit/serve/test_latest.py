"""Latest frame wins: fresh answers from a slow model, and nothing of one camera in another's way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from skerry.errors import Throttled
from skerry.serve.answer import Latency, Scored
from skerry.serve.latest import LatestFrame, Superseded


class Slow:
    """Answers when told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.turns: asyncio.Queue[None] = asyncio.Queue()

    async def score(self, images: Sequence[bytes]) -> list[Scored]:
        self.asked += images
        await self.turns.get()
        noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
        return [Scored((), "", 0.0, str(i), "", "", 1, Latency(0, 0, 0, 0), noon) for i in images]


async def start(latest: LatestFrame, image: bytes, source: str = "cam") -> asyncio.Task[list[Scored]]:
    task = asyncio.create_task(latest.score([image], source))
    await asyncio.sleep(0)
    return task


async def test_of_those_that_wait_the_newest_is_scored_and_the_others_are_let_go() -> None:
    slow = Slow()
    latest = LatestFrame(slow)
    first, second, third = [await start(latest, image) for image in (b"1", b"2", b"3")]
    with pytest.raises(Superseded):
        await second
    for _ in range(2):
        slow.turns.put_nowait(None)
    await first
    await third
    assert (slow.asked, latest.superseded) == ([b"1", b"3"], 1)


async def test_another_source_is_not_in_the_way() -> None:
    slow = Slow()
    latest = LatestFrame(slow)
    tasks = [await start(latest, b"1", "a"), await start(latest, b"2", "b")]
    for _ in tasks:
        slow.turns.put_nowait(None)
    await asyncio.gather(*tasks)
    assert (slow.asked, latest.superseded) == ([b"1", b"2"], 0)


@pytest.mark.parametrize("given_up", [0, 1])
async def test_a_caller_that_gives_up_leaves_the_way_free(given_up: int) -> None:
    slow = Slow()
    latest = LatestFrame(slow)
    tasks = [await start(latest, b"1"), await start(latest, b"2")]
    tasks[given_up].cancel()
    await asyncio.sleep(0)
    slow.turns.put_nowait(None)
    await tasks[1 - given_up]
    slow.turns.put_nowait(None)
    assert len(await (await start(latest, b"3"))) == 1


async def test_sources_are_bounded() -> None:
    latest = LatestFrame(slow := Slow(), sources_max=1)
    running = await start(latest, b"1", "a")
    with pytest.raises(Throttled):
        await latest.score([b"2"], "b")
    slow.turns.put_nowait(None)
    await running
