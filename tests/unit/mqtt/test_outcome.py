from __future__ import annotations

import asyncio

import pytest

from skerry.errors import Unavailable
from skerry.mqtt.outcome import Outcome, settled


def test_who_asked_before_and_after_is_told_once() -> None:
    told: list[str] = []
    outcome = Outcome()
    outcome.then(lambda _: told.append("before"))
    outcome.settle()
    outcome.settle(Unavailable("too late"))
    outcome.then(lambda _: told.append("after"))
    assert (told, outcome.error) == (["before", "after"], None)


async def test_all_who_await_it_hear_how_it_ended() -> None:
    outcome = Outcome()

    async def wait() -> None:
        await outcome

    waiting = [asyncio.ensure_future(wait()) for _ in range(3)]
    gone = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    outcome.settle(Unavailable("gone"))
    assert [str(error) for error in await asyncio.gather(*waiting, return_exceptions=True)] == ["gone"] * 3
    with pytest.raises(Unavailable):
        await settled(Unavailable("gone"))
    await settled()
