"""Cuts of a second to minutes, the link refused, reset or dead without a word: each backlog drains in 30 s.

``SKERRY_CUTS`` is how many there are; a hundred take about six minutes. The seed is in the failure.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from pathlib import Path

import pytest

from skerry.contract.message import Message
from skerry.protocol.client import DeviceClient
from tests.sims.test_bad_days import Day
from tests.support.edge import module

log = logging.getLogger(__name__)

SEED = int(os.environ.get("SKERRY_SIM_FIRST_SEED", "0"))
CUTS = int(os.environ.get("SKERRY_CUTS", "4"))
# Slower than other simulations: on a busy machine what takes us half a second would count as half a minute.
SPEED = 20.0
SHORTEST_S, LONGEST_S = 1.0, 300.0
DRAIN_S = 30.0
# Sent during each cut, some of them before anybody knows of it.
MESSAGES = 40
CAMERA = module("camera")


async def cut(day: Day, seconds: float, *, silent: bool) -> None:
    """No way to the hub for so long: refused, or taken and never answered."""
    until = day.clock.monotonic() + seconds
    if not silent:
        await day.hub.cut()
    while day.clock.monotonic() < until:
        if silent:
            # Connections made meanwhile go dead as well.
            day.proxy.stall()
        await asyncio.sleep(0.01)
    if not silent:
        await day.hub_open()


async def send(camera: DeviceClient, first: int) -> None:
    for number in range(first, first + MESSAGES, MESSAGES // 4):
        await asyncio.gather(
            *(camera.send(Message(b"%d" % n)) for n in range(number, number + MESSAGES // 4))
        )
        await asyncio.sleep(0.005)


@pytest.mark.timeout(60 + 20 * CUTS)
async def test_after_every_cut_the_backlog_drains_within_30_s(tmp_path: Path) -> None:
    day = Day(tmp_path, SEED, SPEED)
    await day.prepare()
    day.hub.acknowledges = lambda: True
    drains: list[float] = []
    async with day.hub.running(), day.proxy.running(), day.device_up():
        camera = day.client("camera")
        await camera.start()
        try:
            for number in range(CUTS):
                seconds = math.exp(day.roll.uniform(math.log(SHORTEST_S), math.log(LONGEST_S)))
                silent = day.roll.random() < 0.5
                cutting = asyncio.ensure_future(cut(day, seconds, silent=silent))
                await send(camera, number * MESSAGES)
                await cutting
                healed = day.clock.monotonic()
                while len(set(day.hub.bodies(CAMERA))) < (number + 1) * MESSAGES:
                    waited = day.clock.monotonic() - healed
                    assert waited < DRAIN_S, f"seed {SEED}: cut {number} of {seconds:.0f} s, silent {silent}"
                    await asyncio.sleep(0.002)
                drains.append(day.clock.monotonic() - healed)
        finally:
            await camera.stop()
    log.info("%d cuts, slowest drain %.1f s", CUTS, max(drains))
    assert list(dict.fromkeys(day.hub.bodies(CAMERA))) == [b"%d" % n for n in range(CUTS * MESSAGES)]
    assert day.hub.sequences(CAMERA)[-1] == CUTS * MESSAGES
