"""The whole way of an image: built, pushed to the hub, deployed by its digest, pulled and run by a device."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from skerry.cli.model_push import push
from skerry.edge.daemon.provisioning import provision
from skerry.edge.main import run
from skerry.edge.settings import EdgeSettings
from skerry.model.image import build_module_image
from skerry.oci.layout import read_layout
from skerry.oci.python_image import BuiltImage
from tests.support.ports import free_ports
from tests.system.test_images import CACHE, note
from tests.system.test_registry_clients import tried
from tests.unit.hub.running import RunningHub, running_hub
from tests.unit.serve.support import make_package, picture

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

GATEWAY = "edge-device.test"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[BuiltImage]:
    """Two images of one module: the second with another model package."""
    place = tmp_path_factory.mktemp("module")
    made = []
    for tag in ("1", "2"):
        make_package(place / tag, certificate={"build": f"{tag} {uuid.uuid4().hex}"})
        made.append(
            build_module_image(
                place / tag, name="solar/cnn", tag=tag, output=place / "out", cache=CACHE, progress=note
            )
        )
    return made


async def pushed(hub: RunningHub, image: BuiltImage, tag: str) -> dict[str, Any]:
    target = f"localhost:{hub.addresses.https_port}/solar/cnn:{tag}"
    words = [str(image.layout), target, "--hub-dir", str(hub.data_dir), "--output", "json"]
    result = await asyncio.to_thread(CliRunner().invoke, push, words)
    assert result.exception is None, result.output
    return dict(json.loads(result.stdout))


def deployment(image: str | None, port: int) -> dict[str, Any]:
    """The module with its HTTP front at a port of the host, or nothing."""
    options = {
        "ExposedPorts": {f"{port}/tcp": {}},
        "HostConfig": {"PortBindings": {f"{port}/tcp": [{"HostPort": str(port)}]}},
    }
    module = {
        "type": "docker",
        "status": "running",
        "restartPolicy": "always",
        "env": {"SKERRY_HTTP_PORT": {"value": str(port)}},
        "settings": {"image": image, "createOptions": json.dumps(options)},
    }
    agent = {
        "schemaVersion": "1.1",
        "runtime": {"type": "docker", "settings": {}},
        "systemModules": {},
        "modules": {} if image is None else {"cnn": module},
    }
    routes = {"schemaVersion": "1.1", "routes": {}, "storeAndForwardConfiguration": {"timeToLiveSecs": 60}}
    return {
        "modulesContent": {
            "$edgeAgent": {"properties.desired": agent},
            "$edgeHub": {"properties.desired": routes},
        }
    }


@asynccontextmanager
async def running(settings: EdgeSettings) -> AsyncIterator[None]:
    stop, up = asyncio.Event(), asyncio.get_running_loop().create_future()
    task = asyncio.create_task(run(settings, stop, up.set_result))
    await asyncio.wait([up, task], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    try:
        yield
    finally:
        stop.set()
        await task


async def predicted(port: int) -> str:
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as http:
        while True:
            try:
                answer = await http.post(
                    f"http://127.0.0.1:{port}/score",
                    content=picture((0, 0, 255)),
                    headers={"content-type": "image/png"},
                )
                return answer.text
            except httpx.TransportError:
                await asyncio.sleep(0.1)


async def reported(hub: RunningHub, image: str | None) -> None:
    """Return when the device says that it runs this image, or nothing."""
    async with asyncio.timeout(90):
        while True:
            modules = (await hub.service.twin("pi", "$edgeAgent"))["properties"]["reported"].get(
                "modules", {}
            )
            cnn = modules.get("cnn")
            if image is None and cnn is None:
                return
            if cnn and (cnn["settings"]["image"], cnn["runtimeStatus"]) == (image, "running"):
                return
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("engine", ["process", "docker"])
async def test_an_image_is_pushed_deployed_pulled_and_predicts(
    engine: str, images: list[BuiltImage], tmp_path: Path
) -> None:
    port, mqtt_port = free_ports(2)
    async with running_hub(tmp_path / "hub", containers_free_bytes_min=0) as hub:
        first = await pushed(hub, images[0], "1")
        assert (first["digest"], first["blobsSkipped"]) == (images[0].manifest_digest, 0)
        await hub.service.create_device("pi", edge=True)
        settings = provision(
            tmp_path / "edge",
            await hub.service.device_connection_string("pi"),
            hub_ca=hub.addresses.ca_file,
            options={
                "engine": engine,
                "hostname": GATEWAY,
                "hub_mqtt_port": hub.addresses.mqtt_port,
                "hub_https_port": hub.addresses.https_port,
                "mqtt_port": mqtt_port,
                "https_port": -1,
                "container_prefix": f"registry-{uuid.uuid4().hex[:6]}-",
            },
        ).settings
        await hub.service.apply_configuration("pi", deployment(first["pinned"], port))
        try:
            async with running(settings):
                await reported(hub, first["pinned"])
                assert "blue" in await predicted(port)

                # A new model: its own layer is all that goes to the hub.
                second = await pushed(hub, images[1], "2")
                image = read_layout(images[1].layout)
                own = image.layers[-1].descriptor.size + len(image.config) + len(image.manifest)
                assert (second["bytesPushed"], second["blobsPushed"]) == (own, 3)
                assert second["bytesSkipped"] > 30_000_000
                await hub.service.apply_configuration("pi", deployment(second["pinned"], port))
                await reported(hub, second["pinned"])
                assert "blue" in await predicted(port)

                await hub.service.apply_configuration("pi", deployment(None, port))
                await reported(hub, None)
        finally:
            if engine == "docker":
                for one in (first["pinned"], f"{first['pinned'].partition('@')[0]}@{second['digest']}"):
                    await tried("docker", "image", "rm", "-f", one)
