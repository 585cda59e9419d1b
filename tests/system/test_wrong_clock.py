"""A device whose clock says 1970, is set, jumps by decades, and is set again: nothing stops, all heals.

The device's tokens, certificates and timers go by the clock that is passed in; TLS libraries look at the
machine's own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from skerry.clock import SystemClock
from skerry.contract.message import Message
from skerry.edge.daemon.provisioning import provision
from skerry.edge.main import EdgeAddresses, run
from skerry.hub.settings import HubSettings
from skerry.protocol.client import DeviceClient
from skerry.protocol.workload import module_client_from_environment
from skerry.service.tls import client_context
from tests.support.edge import agent_desired, hub_desired
from tests.support.engine import MemoryEngine, World
from tests.support.ports import free_ports
from tests.system.test_edge_with_hub import System, bodies, take, until

pytestmark = pytest.mark.system

MANIFEST = {
    "modulesContent": {
        "$edgeAgent": {"properties.desired": agent_desired(1, cnn="cnn:1")},
        "$edgeHub": {"properties.desired": hub_desired(up="FROM /messages/* INTO $upstream")},
    }
}
EPOCH = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
# The hub is asked again within this after the device's tokens are right.
HEALS_S = 40.0


class WrongClock(SystemClock):
    """The machine's clock, set to something else; what is measured and waited for is right."""

    def __init__(self, says: datetime) -> None:
        self._off = timedelta()
        self.set(says)

    def set(self, says: datetime | None) -> None:
        """What it says now; None: the truth."""
        self._off = timedelta() if says is None else says - super().now()

    def now(self) -> datetime:
        return super().now() + self._off


@contextlib.asynccontextmanager
async def device_up(system: System, engine: MemoryEngine, clock: WrongClock) -> AsyncIterator[EdgeAddresses]:
    assert system.edge is not None
    stop, up = asyncio.Event(), asyncio.get_running_loop().create_future()
    task = asyncio.create_task(run(system.edge, stop, up.set_result, clock, engine))
    await asyncio.wait([up, task], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    try:
        yield up.result()
    finally:
        stop.set()
        await task


def module_of(engine: MemoryEngine, clock: WrongClock) -> DeviceClient:
    """The module's client; a module has the clock of its device."""
    spec = engine.world.specs["cnn"]
    uri = f"unix://{spec.mounts[0].source}/workload.sock"
    return module_client_from_environment({**spec.env, "IOTEDGE_WORKLOADURI": uri}, clock)


async def leaf_connects(addresses: EdgeAddresses) -> bool:
    """A leaf device, whose clock is right, takes the edge hub's certificate."""
    tls = client_context(addresses.ca_file.read_text())
    port = addresses.mqtt_port
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname="localhost")
    writer.close()
    await writer.wait_closed()
    return True


async def test_nothing_stops_and_all_heals_whatever_the_clock_says(tmp_path: Path) -> None:
    mqtt_port, https_port, edge_mqtt_port = free_ports(3)
    system = System(HubSettings(tmp_path / "hub", mqtt_port=mqtt_port, https_port=https_port))
    world = World(registry={"cnn:1"})
    truth, count = SystemClock(), 0
    async with system.hub_up() as (addresses, service):
        await service.create_device("edge-1", edge=True)
        text = await service.device_connection_string("edge-1")
        system.edge = provision(
            tmp_path / "edge",
            text,
            hub_ca=addresses.ca_file,
            clock=WrongClock(EPOCH),
            options={
                "hostname": "localhost",
                "listen": "127.0.0.1",
                "hub_mqtt_port": mqtt_port,
                "hub_https_port": https_port,
                "mqtt_port": edge_mqtt_port,
                "https_port": -1,
            },
        ).settings
        await service.apply_configuration("edge-1", MANIFEST)
        # One contact by a clock that is right, as the guarantee has it.
        clock = WrongClock(truth.now())
        async with device_up(system, MemoryEngine(clock, world), clock):
            await until(lambda: _runs(world))
        # A power cut; the battery is empty.
        clock.set(EPOCH)
        engine = MemoryEngine(clock, world)
        async with device_up(system, engine, clock) as up:
            await until(lambda: _runs(world))
            module = module_of(engine, clock)
            await module.start()
            for says in (EPOCH, None, datetime(2060, 1, 1, tzinfo=UTC), EPOCH, None):
                clock.set(says)
                # Accepted here at once, whatever the time; a client that comes now gets in.
                await asyncio.wait_for(module.send(Message(b"%d" % count), "out"), 10)
                count += 1
                newcomer = module_of(engine, clock)
                await newcomer.start()
                await asyncio.wait_for(newcomer.wait_connected(), 10)
                await newcomer.stop()
                assert await leaf_connects(up)
            async with asyncio.timeout(HEALS_S):
                assert bodies(await take(service, count)) == [b"%d" % n for n in range(count)]
            await module.stop()


async def _runs(world: World) -> bool:
    return {module.status for module in world.modules.values()} == {"running"}
