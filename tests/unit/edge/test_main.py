"""The runtime as a whole, without a hub: offline from the first moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from skerry.clock import SystemClock
from skerry.contract.message import Message
from skerry.edge.hub.twin_cache import CachedTwin
from skerry.errors import Unavailable
from skerry.store.database import Database
from skerry.store.documents import DOCUMENTS, Documents
from tests.support.edge import Device, agent_desired, hub_desired, module
from tests.support.engine import MemoryEngine, World
from tests.support.ports import free_ports

ROUTES = hub_desired(
    images='FROM /messages/modules/camera/outputs/images INTO BrokeredEndpoint("/modules/cnn/inputs/image")',
    results="FROM /messages/modules/cnn/* INTO $upstream",
)


async def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def reported_by_agent(device: Device) -> dict[str, object]:
    database = await Database.open(device.settings.database_file, [DOCUMENTS])
    try:
        document = Documents(database, "twins").get(module("$edgeAgent").client_id)
        assert document is not None
        return CachedTwin.from_json(document).reported
    finally:
        await database.close()


async def test_a_device_that_was_in_contact_once_starts_its_modules_without_a_network(tmp_path: Path) -> None:
    device = Device.provisioned(tmp_path / "d")
    await device.knows("camera", "cnn", agent=agent_desired(1, camera="camera:1", cnn="cnn:1"))
    engine = MemoryEngine(SystemClock(), World(images={"camera:1", "cnn:1"}))
    async with device.running(engine):
        await eventually(lambda: {m.status for m in engine.world.modules.values()} == {"running"})
        environment = engine.world.specs["cnn"].env
        assert environment["IOTEDGE_MODULEID"] == "cnn"
        assert environment["IOTEDGE_IOTHUBHOSTNAME"] == "hub.test"
        await asyncio.sleep(0.1)
    reported = await reported_by_agent(device)
    assert reported["lastDesiredStatus"] == {"code": 200, "description": ""}
    modules = reported["modules"]
    assert isinstance(modules, dict)
    assert {name: entry["runtimeStatus"] for name, entry in modules.items()} == {
        "camera": "running",
        "cnn": "running",
    }


async def test_a_restart_of_the_runtime_adopts_what_runs(tmp_path: Path) -> None:
    device = Device.provisioned(tmp_path / "d", mqtt_port=free_ports(1)[0], https_port=-1)
    await device.knows("cnn", agent=agent_desired(1, cnn="cnn:1"))
    world = World(images={"cnn:1"})
    for _ in range(2):
        engine = MemoryEngine(SystemClock(), world)
        async with device.running(engine):
            await eventually(lambda: "start cnn" in world.journal)
            await asyncio.sleep(0.2)
    assert world.journal == ["create cnn", "start cnn"]


async def test_messages_go_camera_to_cnn_to_the_upstream_queue_in_order(tmp_path: Path) -> None:
    device = Device.provisioned(tmp_path / "d")
    await device.knows("camera", "cnn", hub=ROUTES)
    async with device.running() as addresses:
        camera, cnn = device.client("camera", addresses), device.client("cnn", addresses)
        got: list[bytes] = []

        async def on_input(name: str, message: Message) -> None:
            got.append(message.body)
            assert message.system["connectionModuleId"] == "camera"
            asyncio.get_running_loop().create_task(cnn.send(Message(b"seen " + message.body), "results"))

        cnn.on_input = on_input
        await cnn.start()
        await camera.start()
        await asyncio.gather(*(camera.send(Message(b"%d" % n), "images") for n in range(200)))
        await eventually(lambda: len(got) == 200)
        assert got == [b"%d" % n for n in range(200)]
        async with httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(addresses.management_socket)), base_url="http://edge"
        ) as management:
            async with asyncio.timeout(10):
                while True:
                    status = (await management.get("/status")).json()
                    queues = status["queues"]
                    if queues.get("upstream/edge-1/cnn", {}).get("messages") == 200:
                        break
                    await asyncio.sleep(0.02)
            assert status["clients"] == ["edge-1/camera", "edge-1/cnn"]
        await camera.stop()
        await cnn.stop()


async def test_nothing_acknowledged_is_lost_over_restarts_of_the_runtime(tmp_path: Path) -> None:
    device = Device.provisioned(tmp_path / "d")
    await device.knows("camera", "cnn", hub=ROUTES)
    acknowledged = 0
    for _ in range(3):
        async with device.running() as addresses:
            camera = device.client("camera", addresses)
            await camera.start()
            for _ in range(20):
                await camera.send(Message(b"%d" % acknowledged), "images")
                acknowledged += 1
            await camera.stop()
    got: list[bytes] = []
    async with device.running() as addresses:
        cnn = device.client("cnn", addresses)

        async def on_input(name: str, message: Message) -> None:
            got.append(message.body)

        cnn.on_input = on_input
        await cnn.start()
        await eventually(lambda: len(got) >= acknowledged)
        await cnn.stop()
    assert got == [b"%d" % n for n in range(acknowledged)]


async def test_a_stranger_is_refused(tmp_path: Path) -> None:
    device = Device.provisioned(tmp_path / "d")
    await device.knows("camera")
    async with device.running() as addresses:
        stranger = device.client("stranger", addresses)
        await stranger.start()
        await eventually(lambda: stranger.last_error is not None)
        assert not stranger.connected
        await stranger.stop()


async def test_two_runtimes_do_not_share_a_data_directory(tmp_path: Path) -> None:
    device = Device.provisioned(tmp_path / "d")
    async with device.running():
        with pytest.raises(Unavailable, match="another runtime"):
            async with device.running():
                pass
