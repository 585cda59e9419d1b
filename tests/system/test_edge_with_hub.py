"""An edge device against the real hub: provision, deploy, predict, cut, restart."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from skerry.clock import SystemClock
from skerry.contract.message import Message
from skerry.contract.method import MethodRequest
from skerry.edge.daemon.provisioning import provision
from skerry.edge.main import EdgeAddresses, run
from skerry.edge.settings import EdgeSettings
from skerry.hub.app import HubAddresses, hub
from skerry.hub.client import ServiceClient
from skerry.hub.settings import HubSettings
from skerry.hub.setup import connection_string
from skerry.protocol.client import DeviceClient
from skerry.protocol.workload import module_client_from_environment
from tests.support.edge import agent_desired, hub_desired
from tests.support.engine import MemoryEngine, World
from tests.support.ports import free_ports

pytestmark = pytest.mark.system

ROUTES = hub_desired(
    images='FROM /messages/modules/camera/outputs/images INTO BrokeredEndpoint("/modules/cnn/inputs/image")',
    results="FROM /messages/modules/cnn/* INTO $upstream",
)
MANIFEST = {
    "modulesContent": {
        "$edgeAgent": {"properties.desired": agent_desired(1, camera="camera:1", cnn="cnn:1")},
        "$edgeHub": {"properties.desired": ROUTES},
        "cnn": {"properties.desired": {"threshold": 0.5}},
    }
}


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 15.0) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := await condition()):
            await asyncio.sleep(0.03)
        return found


@dataclass
class System:
    """A hub's data and a device's; each can be started and stopped."""

    hub_settings: HubSettings
    edge: EdgeSettings | None = None

    @contextlib.asynccontextmanager
    async def hub_up(self) -> AsyncIterator[tuple[HubAddresses, ServiceClient]]:
        async with hub(self.hub_settings, SystemClock()) as addresses:
            text = connection_string(self.hub_settings.data_dir, "iothubowner")
            async with ServiceClient(text, addresses.https_port, addresses.ca_file.read_text()) as client:
                yield addresses, client

    @contextlib.asynccontextmanager
    async def device_up(self, engine: MemoryEngine) -> AsyncIterator[EdgeAddresses]:
        assert self.edge is not None
        stop, up = asyncio.Event(), asyncio.get_running_loop().create_future()
        task = asyncio.create_task(run(self.edge, stop, up.set_result, None, engine))
        await asyncio.wait([up, task], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        try:
            yield up.result()
        finally:
            stop.set()
            await task


async def module_of(engine: MemoryEngine, name: str) -> DeviceClient:
    """The client a module makes from its environment, through its workload socket."""
    spec = engine.world.specs[name]
    env = dict(spec.env)
    env["IOTEDGE_WORKLOADURI"] = f"unix://{spec.mounts[0].source}/workload.sock"
    return module_client_from_environment(env, SystemClock())


async def test_deploy_predict_cut_restart(tmp_path: Path) -> None:
    mqtt_port, https_port, edge_mqtt_port = free_ports(3)
    system = System(HubSettings(tmp_path / "hub", mqtt_port=mqtt_port, https_port=https_port))
    world = World(registry={"camera:1", "cnn:1"})
    engine = MemoryEngine(SystemClock(), world)
    async with system.hub_up() as (addresses, service):
        await service.create_device("edge-1", edge=True)
        system.edge = provision(
            tmp_path / "edge",
            await service.device_connection_string("edge-1"),
            hub_ca=addresses.ca_file,
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
        async with system.device_up(engine):

            async def deployed() -> bool:
                twin = await service.twin("edge-1", "$edgeAgent")
                reported = twin["properties"]["reported"]
                return bool(
                    reported.get("lastDesiredStatus", {}).get("code") == 200
                    and reported["lastDesiredVersion"] == twin["properties"]["desired"]["$version"]
                )

            await until(deployed)
            assert {m["moduleId"] for m in await service.modules("edge-1")} == {
                "$edgeAgent",
                "$edgeHub",
                "camera",
                "cnn",
            }
            cnn, camera = await module_of(engine, "cnn"), await module_of(engine, "camera")

            async def on_input(name: str, message: Message) -> None:
                asyncio.get_running_loop().create_task(cnn.send(Message(b"seen " + message.body), "results"))

            cnn.on_input = on_input
            await cnn.start()
            await camera.start()
            assert (await cnn.twin())["desired"]["threshold"] == 0.5
            await asyncio.gather(*(camera.send(Message(b"%d" % n), "images") for n in range(20)))
            events = await take(service, 20)
            assert bodies(events) == [b"seen %d" % n for n in range(20)]
            pong = await service.invoke_method("edge-1", MethodRequest("ping"), "$edgeAgent")
            assert pong.status == 200

        # The hub goes; the device is started without it, and works.
    offline = MemoryEngine(SystemClock(), world)
    async with system.device_up(offline):

        async def running() -> bool:
            return {module.status for module in world.modules.values()} == {"running"}

        await until(running)
        await asyncio.gather(*(camera.send(Message(b"%d" % n), "images") for n in range(20, 40)))
        async with system.hub_up() as (_, service):
            events = await take(service, 40)
            assert bodies(events) == [b"seen %d" % n for n in range(40)]
            assert [event["properties"]["skerry-seq"] for event in events] == [str(n + 1) for n in range(40)]
            await camera.stop()
            await cnn.stop()


def bodies(events: list[dict[str, Any]]) -> list[bytes]:
    return [base64.b64decode(event["body"]) for event in events]


async def take(service: ServiceClient, count: int) -> list[dict[str, Any]]:
    """The first ``count`` results of the CNN since the beginning."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(20), contextlib.aclosing(service.events("earliest", module="cnn")) as events:
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    return found


async def test_a_module_removed_and_deployed_again_sends_again(tmp_path: Path) -> None:
    mqtt_port, https_port, edge_mqtt_port = free_ports(3)
    system = System(HubSettings(tmp_path / "hub", mqtt_port=mqtt_port, https_port=https_port))
    engine = MemoryEngine(SystemClock(), World(registry={"camera:1", "cnn:1"}))
    both = {
        "modulesContent": {
            **MANIFEST["modulesContent"],
            "$edgeHub": {"properties.desired": hub_desired(up="FROM /messages/* INTO $upstream")},
        }
    }
    camera_only = {
        "modulesContent": {
            "$edgeAgent": {"properties.desired": agent_desired(1, camera="camera:1")},
            "$edgeHub": both["modulesContent"]["$edgeHub"],
        }
    }
    async with system.hub_up() as (addresses, service):
        await service.create_device("edge-1", edge=True)
        system.edge = provision(
            tmp_path / "edge",
            await service.device_connection_string("edge-1"),
            hub_ca=addresses.ca_file,
            options={
                "hostname": "localhost",
                "listen": "127.0.0.1",
                "hub_mqtt_port": mqtt_port,
                "hub_https_port": https_port,
                "mqtt_port": edge_mqtt_port,
                "https_port": -1,
            },
        ).settings

        async def modules() -> set[str]:
            return {module["moduleId"] for module in await service.modules("edge-1")}

        async with system.device_up(engine):
            for round_ in range(3):
                await service.apply_configuration("edge-1", both)

                async def running() -> bool:
                    found = engine.world.modules.get("cnn")
                    return found is not None and found.status == "running"

                await until(running)
                cnn = await module_of(engine, "cnn")
                await cnn.start()
                await cnn.report({"round": round_})
                await asyncio.wait_for(cnn.send(Message(b"round %d" % round_), "results"), 10)
                events = await take(service, round_ + 1)
                assert bodies(events) == [b"round %d" % n for n in range(round_ + 1)]

                async def reported(round_: int = round_) -> bool:
                    twin = await service.twin("edge-1", "cnn")
                    return bool(twin["properties"]["reported"].get("round") == round_)

                await until(reported)
                await cnn.stop()
                await service.apply_configuration("edge-1", camera_only)

                async def gone() -> bool:
                    return "cnn" not in engine.world.modules and "cnn" not in await modules()

                await until(gone, 30)
