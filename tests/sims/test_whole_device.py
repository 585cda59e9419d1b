"""A whole device over TLS: agent, engine, edge hub and modules on bad days; invariants are watched meanwhile.

Cuts, dead links, lost acknowledgements, modules that end or fall ill, an engine that fails, deployments that
cannot be pulled, power cuts. A tenth of ``SKERRY_SIM_SEEDS`` (test_bad_days) run here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from skerry.contract.message import Message
from skerry.edge.main import EdgeAddresses
from skerry.errors import Unavailable
from tests.sims.test_bad_days import FIRST_SEED, SEEDS
from tests.support.edge import Device, agent_desired, hub_desired, module
from tests.support.engine import MemoryEngine, World
from tests.support.ports import free_ports
from tests.support.proxy import Proxy
from tests.support.sim_clock import SimClock
from tests.support.small_hub import SmallHub

SPEED = 20.0
ROUNDS, FAULTS = 2, 4
CAMERA = module("camera")
ROUTES = hub_desired(up="FROM /messages/modules/camera/* INTO $upstream")
# Of a simulated hour; the longest back-off of the agent is five minutes.
PATIENCE_S = 3600.0


class Whole:
    """A device with its world, the hub, and what was promised so far."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.roll = random.Random(seed)
        self.seed = seed
        self.clock = SimClock(SPEED)
        self.hub = SmallHub(self.clock)
        self.hub.acknowledges = lambda: self.roll.random() > 0.01
        self.proxy = Proxy(lambda: self.hub.port)
        self.world = World(registry={"cnn:1", "cnn:2", "cnn:3"})
        self.engine = MemoryEngine(self.clock, self.world)
        self.folder = folder
        self.version = 1
        self.acknowledged: list[bytes] = []
        self.happened: list[str] = []

    async def prepare(self) -> None:
        (self.folder / "ca.pem").write_text(self.hub.authority.root_pem)
        self.hub.desired[module("$edgeHub")] = ROUTES
        self.hub.desired[module("$edgeAgent")] = agent_desired(1, cnn="cnn:1")
        (port,) = free_ports(1)
        self.device = Device.provisioned(
            self.folder / "d",
            hub_ca=self.folder / "ca.pem",
            upstream=True,
            hub_address="127.0.0.1",
            hub_mqtt_port=self.proxy.port,
            hub_https_port=1,
            mqtt_port=port,
            https_port=-1,
        )
        await self.device.knows("camera", "cnn", hub=ROUTES, agent=self.hub.desired[module("$edgeAgent")])

    @asynccontextmanager
    async def sending(self, addresses: EdgeAddresses) -> AsyncIterator[None]:
        """The camera sends, and somebody watches, as long as this is open."""
        camera = self.device.client("camera", addresses, self.clock)
        await camera.start()
        tasks = [asyncio.create_task(self._send(camera)), asyncio.create_task(self._watch())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(outcome, asyncio.CancelledError), f"{self}: {outcome!r}"
            await camera.stop()

    async def _send(self, camera: Any) -> None:
        while True:
            body = b"%d" % len(self.acknowledged)
            await asyncio.shield(self._acknowledge(camera, body))
            await asyncio.sleep(0.01)

    async def _acknowledge(self, camera: Any, body: bytes) -> None:
        await camera.send(Message(body))
        self.acknowledged.append(body)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.02)
            self.check()

    def check(self) -> None:
        """What holds at any moment: order, no number twice for different things, only what was deployed."""
        arrived = [int(body) for body in dict.fromkeys(self.hub.bodies(CAMERA))]
        assert arrived == [*range(len(arrived))], f"{self}: out of order or lost: {arrived[-20:]}"
        images = {observed.image for observed in self.world.modules.values()}
        assert images <= {"cnn:1", "cnn:2", "cnn:3"}, f"{self}: runs {images}"
        assert len(self.world.modules) <= 1, f"{self}: {sorted(self.world.modules)}"

    async def bad_things(self) -> None:
        faults = [
            self.cut,
            self.dead_link,
            self.module_ends,
            self.module_ill,
            self.engine_fails,
            self.bad_image,
        ]
        for _ in range(FAULTS):
            await asyncio.sleep(self.roll.random() * 0.2)
            fault = self.roll.choice(faults)
            self.happened.append(fault.__name__)
            await fault()

    async def cut(self) -> None:
        await self.hub.cut()
        await asyncio.sleep(self.roll.random() * 0.2)
        while not self.hub.is_open:
            try:
                await self.hub.open()
            except Unavailable:
                await asyncio.sleep(0.02)

    async def dead_link(self) -> None:
        self.proxy.stall()

    async def module_ends(self) -> None:
        if "cnn" in self.world.modules:
            self.engine.exits("cnn", self.roll.choice([0, 1, 137]))

    async def module_ill(self) -> None:
        if "cnn" in self.world.modules:
            self.engine.falls_ill("cnn")

    async def engine_fails(self) -> None:
        verb = self.roll.choice(["create", "start", "stop", "remove"])
        self.world.failures[verb, "cnn"] = Unavailable("the engine is busy")
        await asyncio.sleep(self.roll.random() * 0.2)
        self.world.failures.clear()

    async def bad_image(self) -> None:
        await self.deploy("cnn:missing")

    async def deploy(self, image: str) -> None:
        self.version += 1
        await self.hub.set_desired(module("$edgeAgent"), agent_desired(self.version, cnn=image))

    def settled(self, image: str) -> bool:
        """The last deployment runs and the hub knows; all that was acknowledged is there."""
        cnn = self.world.modules.get("cnn")
        reported = self.hub.reported[module("$edgeAgent")]
        status = reported.get("modules", {}).get("cnn", {})
        return (
            cnn is not None
            and (cnn.image, cnn.status) == (image, "running")
            and status.get("runtimeStatus") == "running"
            and status.get("settings", {}).get("image") == image
            and set(self.acknowledged) <= set(self.hub.bodies(CAMERA))
        )

    def __str__(self) -> str:
        return f"seed {self.seed} after {self.happened}"


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + max(SEEDS // 10, 1)))
async def test_a_whole_device_comes_through(tmp_path: Path, seed: int) -> None:
    whole = Whole(tmp_path, seed)
    async with whole.hub.running(), whole.proxy.running():
        await whole.prepare()
        for number in range(ROUNDS):
            async with whole.device.running(whole.engine, whole.clock) as addresses:
                async with whole.sending(addresses):
                    await whole.bad_things()
                if number + 1 == ROUNDS:
                    whole.hub.acknowledges = lambda: True
                    await whole.deploy("cnn:3")
                    until = whole.clock.monotonic() + PATIENCE_S
                    while not whole.settled("cnn:3"):
                        assert whole.clock.monotonic() < until, f"{whole}: {whole.world.journal[-10:]}"
                        await asyncio.sleep(0.05)
                    whole.check()
            # The machine goes down with the runtime.
            whole.happened.append("power off")
            whole.engine.power_off()
    numbers = set(whole.hub.sequences(CAMERA))
    assert numbers == set(range(1, max(numbers, default=0) + 1)), str(whole)
