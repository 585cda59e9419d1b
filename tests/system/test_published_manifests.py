"""The tutorials' manifests deploy as they are: only where images come from is the device's own setting."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from skerry.clock import SystemClock
from skerry.edge.engine.choose import find_bubblewrap
from skerry.edge.engine.docker import DockerEngine
from skerry.edge.engine.port import Engine
from skerry.edge.engine.process import ProcessEngine
from tests.support.edge import Device
from tests.support.engines import IMAGE, engine_of
from tests.support.shell_image import write_shell_image

pytestmark = pytest.mark.system

MANIFESTS = Path(__file__).parents[1] / "vectors" / "manifests"
# Where the images of the manifests would come from; all are stood in for by one image of this machine.
SOURCES = {
    "keras_tutorial": ("amlregistry.azurecr.io/kerasmodule:1",),
    "anomaly_sample": (
        "mcr.microsoft.com/azureiotedge-simulated-temperature-sensor:1.0",
        "amlregistry.azurecr.io/tempanomalydetection:1",
    ),
    "turbofan": (
        "turbofan.azurecr.io/avrofilewriter:0.0.1",
        "turbofan.azurecr.io/turbofanrulclassifier:0.0.1",
        "turbofan.azurecr.io/turbofanrouter:0.0.1",
    ),
    "custom_vision_pi": (
        "visionpi.azurecr.io/imageclassifierservice:0.2-arm32v7",
        "visionpi.azurecr.io/cameracapture:0.2-arm32v7",
        "visionpi.azurecr.io/sensehatdisplay:0.2-arm32v7",
    ),
    "model_loader": (
        "loaderregistry.azurecr.io/modelloader:0.0.1-amd64",
        "loaderregistry.azurecr.io/inference:0.0.1-amd64",
    ),
    "video_analytics": (
        "mcr.microsoft.com/media/live-video-analytics:1",
        "mcr.microsoft.com/lva-utilities/yolov3-onnx:1.0",
    ),
}
# Hardware of a Raspberry Pi: without it the module cannot run, and its status has to say what is missing.
HARDWARE = {"camera-capture": "/dev/snd", "sense-hat-display": "/dev/i2c-1"}
WAIT_S = 40.0


@pytest.fixture(params=["docker", "process"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    images = tmp_path / "images"
    write_shell_image(images, IMAGE, script='trap "exit 0" TERM; while :; do sleep 0.2; done')
    made: Engine
    if request.param == "docker":
        made = await DockerEngine.connect(
            device=f"test-{uuid.uuid4().hex[:8]}", images_dir=images, runtime_fallback=True
        )
    else:
        made = ProcessEngine(
            state_dir=tmp_path / "engine",
            images_dir=images,
            bwrap=await find_bubblewrap(),
            clock=SystemClock(),
        )
    yield made
    for module in await made.observe():
        await made.remove(module.name)
    await made.close()


@pytest.mark.parametrize("name", sorted(SOURCES))
async def test_a_published_manifest_deploys_as_it_is(name: str, engine: Engine, tmp_path: Path) -> None:
    text = (MANIFESTS / f"{name}.json").read_text()
    # The folders of the host are this test's.
    for folder in ("/iotedge/storage", "/var/media"):
        text = text.replace(f"{folder}:", f"{tmp_path}{folder}:")
    content = json.loads(text)["modulesContent"]
    agent, hub = (content[name]["properties.desired"] for name in ("$edgeAgent", "$edgeHub"))
    device = Device.provisioned(tmp_path / "d", registry_map=dict.fromkeys(SOURCES[name], IMAGE))
    twins = {module: content[module]["properties.desired"] for module in agent["modules"]}
    await device.knows(*agent["modules"], agent=agent, hub=hub, **twins)
    async with device.running(engine):
        modules = await _settled(device)
    for module, shown in modules.items():
        status = shown["status"]["runtimeStatus"]
        if engine_of(engine) == "docker" and module in _lacking_hardware():
            assert status["status"] != "running"
            assert "/dev/" in status["description"]
            continue
        assert status["status"] == "running", (module, status)
        assert shown["config"]["settings"]["image"] == agent["modules"][module]["settings"]["image"]


def _is_told(status: dict[str, Any]) -> bool:
    return status["status"] == "running" or "waiting: cannot" in status.get("description", "")


def _lacking_hardware() -> list[str]:
    return [module for module, path in HARDWARE.items() if not Path(path).exists()]


async def _settled(device: Device) -> dict[str, dict[str, Any]]:
    """The modules by name, once each runs or has a reason not to."""
    transport = httpx.AsyncHTTPTransport(uds=str(device.settings.management_socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://edge") as client:
        async with asyncio.timeout(WAIT_S):
            while True:
                answer = await client.get("/modules", params={"api-version": "2020-07-07"})
                modules = {one["name"]: one for one in answer.json()["modules"]}
                states = [one["status"]["runtimeStatus"] for one in modules.values()]
                if modules and all(map(_is_told, states)):
                    return modules
                await asyncio.sleep(0.1)
