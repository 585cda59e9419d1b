"""kill -9 of the runtime at random moments: nothing acknowledged is lost, numbering has no gap.

``SKERRY_KILLS`` is how often each of the two seeds kills; a hundred take about two minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skerry.clock import SystemClock
from skerry.contract.message import Message
from skerry.edge.main import EdgeAddresses
from tests.support.edge import Device, hub_desired, module
from tests.support.ports import free_ports
from tests.support.small_hub import SmallHub

log = logging.getLogger(__name__)

pytestmark = pytest.mark.system

KILLS = int(os.environ.get("SKERRY_KILLS", "6"))
ROUTES = hub_desired(
    up="FROM /messages/* INTO $upstream",
    local='FROM /messages/modules/camera/* INTO BrokeredEndpoint("/modules/cnn/inputs/image")',
)
CAMERA = module("camera")


@contextlib.asynccontextmanager
async def runtime(device: Device) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.edge_process",
        str(device.settings.data_dir),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline()
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


@pytest.mark.parametrize("seed", range(2))
async def test_killed_at_random_moments_nothing_acknowledged_is_lost(tmp_path: Path, seed: int) -> None:
    roll = random.Random(seed)
    hub = SmallHub(SystemClock())
    (tmp_path / "ca.pem").write_text(hub.authority.root_pem)
    async with hub.running():
        (port,) = free_ports(1)
        device = Device.provisioned(
            tmp_path / "d",
            hub_ca=tmp_path / "ca.pem",
            upstream=True,
            hub_address="127.0.0.1",
            hub_mqtt_port=hub.port,
            hub_https_port=1,
            mqtt_port=port,
            https_port=-1,
        )
        await device.knows("camera", "cnn", hub=ROUTES)
        hub.desired[module("$edgeHub")] = ROUTES
        settings = device.settings
        addresses = EdgeAddresses(
            "localhost", "", port, 0, settings.management_socket, settings.ca_directory / "ca.pem", ""
        )
        camera, cnn = device.client("camera", addresses), device.client("cnn", addresses)
        inputs: list[bytes] = []
        acknowledged: list[bytes] = []
        done = asyncio.Event()

        async def on_input(name: str, message: Message) -> None:
            inputs.append(message.body)

        async def send_for_ever() -> None:
            # One client over all the kills: it sends again what was not acknowledged, in order.
            number = 0
            while not done.is_set():
                bodies = [b"%d" % (number + n) for n in range(10)]
                number += 10
                await asyncio.gather(*(camera.send(Message(body)) for body in bodies))
                acknowledged.extend(bodies)
                await asyncio.sleep(0.002)

        cnn.on_input = on_input
        await cnn.start()
        await camera.start()
        sending = asyncio.create_task(send_for_ever())
        for _ in range(KILLS):
            async with runtime(device):
                await asyncio.sleep(0.2 + roll.random() * 0.5)
        async with runtime(device):
            done.set()
            await asyncio.wait_for(sending, 15)
            async with asyncio.timeout(20 + KILLS):
                while not set(acknowledged) <= set(hub.bodies(CAMERA)) or not set(acknowledged) <= set(
                    inputs
                ):
                    await asyncio.sleep(0.05)
            await camera.stop()
            await cnn.stop()
    assert not list(settings.data_dir.glob("*.damaged-*")), f"seed {seed}: a store could not be read"
    sequences = hub.sequences(CAMERA)
    log.info("%d kills: %d acknowledged, %d arrived, 0 lost", KILLS, len(acknowledged), len(sequences))
    assert sorted(set(sequences)) == [*range(1, max(sequences) + 1)], f"seed {seed}"
    assert list(dict.fromkeys(hub.bodies(CAMERA))) == acknowledged, f"seed {seed}"
    assert list(dict.fromkeys(inputs)) == acknowledged, f"seed {seed}"
