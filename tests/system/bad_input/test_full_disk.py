"""A full disk under the logs of hub and device: what was acknowledged is kept, nothing half applied."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from pathlib import Path

import pytest

from skerry.cli.demo.manifest import deployment
from skerry.clock import SystemClock
from skerry.contract.message import Message
from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.edge.settings import EdgeSettings
from skerry.hub.client import ServiceClient
from skerry.protocol.client import Backoff, DeviceClient, Endpoint
from skerry.protocol.connect import client_from_connection_string
from skerry.protocol.tokens import KeyTokens
from skerry.service.tls import client_context
from tests.support.shell_image import write_shell_image
from tests.system.bad_input.command import Running, size_of_largest, skerry
from tests.system.bad_input.site import Site

pytestmark = pytest.mark.system

CLOCK = SystemClock()
# What is left on the disk when it gets tight, and messages of which a few dozen fill it.
ROOM_BYTES = 256 * 1024
BODY_BYTES = 8 * 1024
MESSAGES = 120
PATIENCE_S = 30.0


class Sender:
    """Sends numbered messages one after the other; ``acknowledged`` is how far it came."""

    def __init__(self, client: DeviceClient, output: str | None = None) -> None:
        self._client = client
        self._output = output
        self.acknowledged = 0

    async def send(self, up_to: int) -> None:
        while self.acknowledged < up_to:
            number = b"%d" % self.acknowledged
            await self._client.send(Message(number.ljust(BODY_BYTES)), self._output)
            self.acknowledged += 1

    async def over_a_full_disk(self, process: Running, folder: Path, refusal: str) -> None:
        """Send until ``process`` refuses for want of room; then there is room, and the rest goes through."""
        await self._client.start()
        await self._client.wait_connected()
        process.limit_files(size_of_largest(folder) + ROOM_BYTES)
        sending = asyncio.create_task(self.send(MESSAGES))
        await asyncio.to_thread(process.wait_for, refusal)
        assert 0 < self.acknowledged < MESSAGES
        assert not sending.done()
        process.limit_files(None)
        async with asyncio.timeout(PATIENCE_S):
            await sending
        await self._client.stop()


def test_a_hub_with_a_full_disk_acknowledges_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.serving() as hub:
        text = site.create_device("sensor")
        client = client_from_connection_string(text, CLOCK, ca_pem=site.ca_pem, port=site.mqtt_port)
        refusal = "not stored, not acknowledged: the disk is full"
        asyncio.run(Sender(client).over_a_full_disk(hub, site.hub_dir, refusal))
        assert hub.alive
        assert numbers_at(site, "sensor", MESSAGES) == list(range(MESSAGES))
    assert hub.stop() == 0
    assert "Traceback" not in hub.text


def test_a_deployment_onto_a_full_disk_is_applied_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    site = Site(tmp_path)
    manifest = tmp_path / "m.json"
    manifest.write_text(json.dumps(deployment("camera:1", "cnn:1")))
    with site.serving() as hub:
        site.create_device("d")
        before = site.ask(lambda client: everything(client, "d"))
        hub.limit_files((site.hub_dir / "hub.db-wal").stat().st_size)
        site.skerry("deploy", "apply", "d", manifest).failed(7, "no room to write", "free space on the disk")
        assert site.ask(lambda client: everything(client, "d")) == before
        hub.limit_files(None)
        site.skerry("deploy", "apply", "d", manifest).succeeded()
        assert set(site.ask(lambda client: everything(client, "d"))) == {
            "$edgeAgent",
            "$edgeHub",
            "cnn",
            "camera",
        }
    assert "Traceback" not in hub.text


def test_a_device_offline_with_a_full_disk_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.serving():
        settings = site.provision(tmp_path / "d", site.create_device("edge-1"))
        write_shell_image(settings.images, "idle:1", script="trap 'exit 0' TERM; while :; do sleep 0.2; done")
        document = deployment("idle:1", "idle:1")
        site.ask(lambda client: client.apply_configuration("edge-1", document))
        with site.running_edge(settings) as edge:
            edge.wait_for("module camera started")
            record = site.ask(lambda client: client.module("edge-1", "cnn"))
    with site.running_edge(settings) as edge:
        edge.wait_for("device edge-1 is up")
        client = module(settings, str(record["authentication"]["symmetricKey"]["primaryKey"]))
        asyncio.run(Sender(client, "amlOutput").over_a_full_disk(edge, settings.data_dir, "no room to write"))
        status = json.loads(skerry("edge", "status", "--dir", tmp_path / "d").succeeded().out)
        assert status["queues"]["upstream/edge-1/cnn"]["messages"] == MESSAGES
        with site.serving():
            assert numbers_at(site, "edge-1", MESSAGES) == list(range(MESSAGES))
    assert edge.stop() == 0
    assert "Traceback" not in edge.text


def module(settings: EdgeSettings, key: str) -> DeviceClient:
    """The CNN module's connection to its edge hub."""
    tls = client_context((settings.ca_directory / "ca.pem").read_text())
    endpoint = Endpoint("127.0.0.1", settings.mqtt_port, tls, "localhost")
    identity = Identity(DeviceId("edge-1"), ModuleId("cnn"))
    return DeviceClient(
        identity, "localhost", endpoint, KeyTokens(key, CLOCK), clock=CLOCK, backoff=Backoff(0.05, 0.5)
    )


def numbers_at(site: Site, device: str, count: int) -> list[int]:
    """The numbers the hub has from a device, in their order, the same one again only counted once."""

    async def read(client: ServiceClient) -> list[int]:
        found: list[int] = []
        async with (
            asyncio.timeout(PATIENCE_S),
            contextlib.aclosing(client.events("earliest", device=device)) as events,
        ):
            async for event in events:
                number = int(base64.b64decode(event["body"]))
                if number not in found:
                    found.append(number)
                if len(found) == count:
                    break
        return found

    return site.ask(read)


async def everything(client: ServiceClient, device: str) -> dict[str, object]:
    """All that a deployment changes."""
    names = [str(one["moduleId"]) for one in await client.modules(device)]
    return {name: (await client.module(device, name), await client.twin(device, name)) for name in names}
