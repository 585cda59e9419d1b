"""Starting, stopping and starting again."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from skerry.clock import SystemClock
from skerry.contract.message import Message
from skerry.contract.names import Identity
from skerry.contract.topics import DESIRED_FILTER, render_username
from skerry.errors import Unavailable
from skerry.hub import app
from skerry.hub.app import HubAddresses, run
from skerry.hub.settings import HubSettings
from skerry.mqtt.client import Client
from skerry.mqtt.packets import Connect, Publish
from skerry.protocol.connect import tls_trusting
from skerry.protocol.tokens import KeyTokens
from tests.unit.hub.running import RunningHub, connected, key_of, manifest, running_hub

DEV = Identity.parse("dev")


async def test_a_restart_keeps_devices_twins_telemetry_and_access(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub:
        document = await hub.service.create_device("dev")
        await hub.service.create_device("edge", edge=True)
        await hub.service.apply_configuration("edge", manifest("cnn", cnn={"a": 1}))
        async with connected(hub.device(document)) as device:
            await device.report({"state": "on"})
            await device.send(Message(b"before"))
        devices, twins = await _everything(hub)
        ca_pem, owner = hub.ca_pem, hub.token("iothubowner")
    async with running_hub(tmp_path) as hub:
        assert (hub.ca_pem, await _everything(hub)) == (ca_pem, (devices, twins))
        assert (await hub.raw("GET", "/devices/dev", owner)).status_code == 200
        async with connected(hub.device(document)) as device:
            await device.send(Message(b"after"))
        events = (await hub.raw("GET", "/events/page?after=0")).json()["events"]
        assert [event["sequence"] for event in events] == [1, 2]


async def _everything(hub: RunningHub) -> tuple[list[Any], list[Any]]:
    twins = [await hub.service.twin("dev"), await hub.service.twin("edge", "cnn")]
    return await hub.service.devices(), twins


async def test_subscriptions_outlive_connection_and_hub(tmp_path: Path) -> None:
    """Python's SDK never subscribes again after a reconnect (contract §0.2)."""
    heard: asyncio.Queue[Publish] = asyncio.Queue()
    async with running_hub(tmp_path) as hub:
        key = key_of(await hub.service.create_device("dev"))
        link = await open_link(hub, key, heard)
        assert await link.subscribe([(DESIRED_FILTER, 1)]) == (1,)
        link.leave()
        await link.settled()
    async with running_hub(tmp_path) as hub:
        link = await open_link(hub, key, heard)
        await hub.service.patch_twin("dev", desired={"a": 1})
        async with asyncio.timeout(5):
            assert (await heard.get()).topic == "$iothub/twin/PATCH/properties/desired/?$version=2"
        link.leave()
        await link.settled()


async def open_link(hub: RunningHub, key: str, heard: asyncio.Queue[Publish]) -> Client:
    token = await KeyTokens(key, hub.clock).token(DEV.resource("localhost"))
    packet = Connect(
        DEV.client_id,
        clean_session=False,
        keep_alive_s=60,
        username=render_username("localhost", DEV, "test"),
        password=token.encode(),
    )
    tls = tls_trusting(hub.ca_pem)
    return await Client.open("localhost", hub.addresses.mqtt_port, tls, packet, heard.put, clock=hub.clock)


async def test_a_newer_connection_of_the_same_device_takes_over(hub: RunningHub) -> None:
    heard: asyncio.Queue[Publish] = asyncio.Queue()
    key = key_of(await hub.service.create_device("dev"))
    first = await open_link(hub, key, heard)
    second = await open_link(hub, key, heard)
    async with asyncio.timeout(5):
        await first.closed
    assert (await hub.service.device("dev"))["connectionState"] == "Connected"
    second.leave()
    await second.settled()
    await first.settled()
    async with asyncio.timeout(5):
        while (await hub.service.device("dev"))["connectionState"] == "Connected":
            await asyncio.sleep(0.01)


async def test_a_taken_port_is_said_so_and_the_rest_is_released(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = HubSettings(tmp_path, https_port=taken.getsockname()[1], mqtt_port=0)
        with pytest.raises(Unavailable, match=str(settings.https_port)):
            async with app.hub(settings, SystemClock()):
                pass
    again = HubSettings(tmp_path, https_port=settings.https_port, mqtt_port=0)
    async with app.hub(again, SystemClock()) as addresses:
        assert addresses.https_port == settings.https_port


async def test_run_tells_its_addresses_and_ends_when_told(tmp_path: Path) -> None:
    stop = asyncio.Event()
    told: asyncio.Future[HubAddresses] = asyncio.get_running_loop().create_future()
    settings = HubSettings(tmp_path, https_port=0, mqtt_port=0)
    running = asyncio.create_task(run(settings, stop, told.set_result))
    addresses = await told
    tls = tls_trusting(addresses.ca_file.read_text())
    async with httpx.AsyncClient(verify=tls, trust_env=False) as http:
        assert (await http.get(f"{addresses.https_url}/healthz")).text == "Healthy"
    stop.set()
    async with asyncio.timeout(5):
        await running


async def test_a_hub_stops_promptly_with_streams_and_devices_connected(tmp_path: Path) -> None:
    async with asyncio.timeout(10):
        async with running_hub(tmp_path) as hub:
            device = hub.device(await hub.service.create_device("dev"))
            await device.start()
            await device.wait_connected()
            stream = hub.service.events("earliest")
            await device.send(Message(b"x"))
            await anext(stream)
            waiting = asyncio.ensure_future(anext(stream))
        with pytest.raises(Unavailable):
            await waiting
        await device.stop()
