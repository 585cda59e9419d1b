"""A device under cuts and restarts: nothing acknowledged is lost, nothing overtakes, twins converge."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from skerry.clock import SystemClock
from skerry.contract.message import Message
from skerry.edge.main import EdgeAddresses
from skerry.errors import Unavailable
from tests.support.edge import Device, hub_desired, module
from tests.support.small_hub import SmallHub

SENDERS = ("camera", "cnn")
ROUTES = hub_desired(
    up="FROM /messages/* INTO $upstream",
    local='FROM /messages/modules/camera/* INTO BrokeredEndpoint("/modules/cnn/inputs/image")',
)
MESSAGES = 2000
# Sent without waiting for each other's acknowledgement.
GROUP = 25
ROUNDS = 4


class Sender:
    """A module that numbers its messages and remembers which were acknowledged."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.acknowledged: list[bytes] = []
        self._next = 0

    async def send_some(
        self, device: Device, addresses: EdgeAddresses, count: int, roll: random.Random
    ) -> None:
        client = device.client(self.name, addresses)
        await client.start()
        try:
            for _ in range(count // GROUP):
                bodies = [b"%s %d" % (self.name.encode(), self._next + n) for n in range(GROUP)]
                self._next += GROUP
                await asyncio.gather(*(client.send(Message(body)) for body in bodies))
                self.acknowledged += bodies
                await asyncio.sleep(roll.random() * 0.02)
            await client.report({"sent": self._next})
        finally:
            await client.stop()


@pytest.mark.parametrize("seed", range(3))
async def test_cuts_and_restarts_lose_nothing(tmp_path: Path, seed: int) -> None:
    roll = random.Random(seed)
    clock = SystemClock()
    hub = SmallHub(clock)
    senders = [Sender(name) for name in SENDERS]
    inputs: list[bytes] = []
    async with hub.running():
        ca = tmp_path / "ca.pem"
        ca.write_text(hub.authority.root_pem)
        device = Device.provisioned(
            tmp_path / "d",
            hub_ca=ca,
            upstream=True,
            hub_address="127.0.0.1",
            hub_mqtt_port=hub.port,
            hub_https_port=1,
            https_port=-1,
        )
        await device.knows(*SENDERS, hub=ROUTES)
        hub.desired[module("$edgeHub")] = ROUTES
        for _ in range(ROUNDS):
            async with device.running() as addresses:
                cuts = asyncio.create_task(cut_now_and_then(hub, roll))
                await asyncio.gather(
                    *(s.send_some(device, addresses, MESSAGES // ROUNDS, roll) for s in senders)
                )
                cuts.cancel()
                await asyncio.gather(cuts, return_exceptions=True)
        if not hub.is_open:
            await hub.open()
        async with device.running() as addresses:
            cnn = device.client("cnn", addresses)

            async def on_input(name: str, message: Message) -> None:
                inputs.append(message.body)

            cnn.on_input = on_input
            await cnn.start()
            async with asyncio.timeout(30):
                while any(hub.bodies(module(s.name)) != s.acknowledged for s in senders) or len(
                    set(inputs)
                ) < len(senders[0].acknowledged):
                    await asyncio.sleep(0.02)
                while any(hub.reported[module(s.name)] != {"sent": len(s.acknowledged)} for s in senders):
                    await asyncio.sleep(0.02)
            await cnn.stop()
    for sender in senders:
        # Every number was given once, without a gap; what came twice came again in order.
        assert sorted(set(hub.sequences(module(sender.name)))) == [*range(1, len(sender.acknowledged) + 1)]
        assert hub.bodies(module(sender.name)) == sender.acknowledged, f"seed {seed}"
    assert list(dict.fromkeys(inputs)) == senders[0].acknowledged, f"seed {seed}"


async def cut_now_and_then(hub: SmallHub, roll: random.Random) -> None:
    while True:
        await asyncio.sleep(roll.random() * 0.15)
        await hub.cut()
        await asyncio.sleep(roll.random() * 0.05)
        try:
            await hub.open()
        except Unavailable:
            await asyncio.sleep(0.05)
