"""The runtime with the process engine: real processes, offline, adopted over a restart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from skerry.clock import SystemClock
from skerry.edge.engine.process import ProcessEngine
from skerry.edge.main import run
from tests.support.edge import Device, agent_desired
from tests.support.ports import free_ports
from tests.support.shell_image import write_shell_image

pytestmark = pytest.mark.system

SCRIPT = """
trap "exit 0" TERM
socket="${IOTEDGE_WORKLOADURI#unix://}"
while true; do
    if [ -S "$socket" ]; then echo "$IOTEDGE_MODULEID has its socket"; else echo "no $socket"; fi
    sleep 0.2
done
"""


@pytest.fixture(autouse=True)
async def _no_module_stays(tmp_path: Path) -> AsyncIterator[None]:
    """Modules outlive the runtime, which is right for a device; not for the machine of a test."""
    yield
    state = tmp_path / "d" / "engine"
    engine = ProcessEngine(state_dir=state, images_dir=tmp_path, bwrap=None, clock=SystemClock())
    for module in await engine.observe():
        await engine.remove(module.name)
    await engine.close()


@contextlib.asynccontextmanager
async def management(device: Device) -> AsyncIterator[httpx.AsyncClient]:
    stop, up = asyncio.Event(), asyncio.get_running_loop().create_future()
    task = asyncio.create_task(run(device.settings, stop, up.set_result))
    await asyncio.wait([up, task], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    try:
        transport = httpx.AsyncHTTPTransport(uds=str(up.result().management_socket))
        async with httpx.AsyncClient(transport=transport, base_url="http://edge", timeout=30) as client:
            yield client
    finally:
        stop.set()
        await task


async def running(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            modules = (await client.get("/status")).json()["modules"]
            if modules.get(name, {}).get("runtimeStatus") == "running":
                return dict(modules[name])
            await asyncio.sleep(0.05)


async def log_line(client: httpx.AsyncClient, name: str, text: str) -> None:
    async with asyncio.timeout(15):
        while text not in (await client.get(f"/modules/{name}/logs", params={"tail": "5"})).text:
            await asyncio.sleep(0.1)


async def test_a_process_module_starts_offline_and_outlives_the_runtime(tmp_path: Path) -> None:
    images = tmp_path / "images"
    write_shell_image(images, "shell:1", script=SCRIPT)
    device = Device.provisioned(
        tmp_path / "d", engine="process", images_dir=images, mqtt_port=free_ports(1)[0], https_port=-1
    )
    await device.knows("cnn", agent=agent_desired(1, cnn="shell:1"))
    async with management(device) as client:
        first = await running(client, "cnn")
        await log_line(client, "cnn", "cnn has its socket")
    async with management(device) as client:
        again = await running(client, "cnn")
        assert again["lastStartTimeUtc"] == first["lastStartTimeUtc"]
        await log_line(client, "cnn", "cnn has its socket")
        assert (await client.post("/modules/cnn/restart")).status_code == 204
        assert (await running(client, "cnn"))["lastStartTimeUtc"] != ""
    await device.knows("cnn", agent=agent_desired(1))
    async with management(device) as client:
        async with asyncio.timeout(30):
            while (await client.get("/modules/cnn/logs")).status_code != 404:
                await asyncio.sleep(0.1)


async def until_status(
    client: httpx.AsyncClient, done: Callable[[dict[str, Any]], bool], timeout_s: float = 40
) -> dict[str, Any]:
    async with asyncio.timeout(timeout_s):
        while not done(status := dict((await client.get("/status")).json())):
            await asyncio.sleep(0.1)
    return status


async def test_a_crashing_deployment_gives_way_to_the_last_good_one(tmp_path: Path) -> None:
    images = tmp_path / "images"
    write_shell_image(images, "shell:1", script=SCRIPT)
    write_shell_image(images, "shell:2", script="echo no model here; exit 3")
    device = Device.provisioned(
        tmp_path / "d",
        engine="process",
        images_dir=images,
        mqtt_port=free_ports(1)[0],
        https_port=-1,
        rollback_after_s=4,
    )
    await device.knows("cnn", agent=agent_desired(1, cnn="shell:1"))
    async with management(device) as client:
        await until_status(client, lambda status: not status["deployment"]["onTrial"])
    await device.knows("cnn", agent=agent_desired(1, cnn="shell:2"), version=2)
    async with management(device) as client:
        await until_status(client, lambda status: "exited with code 3" in str(status["deployment"]))
        status = await until_status(
            client, lambda status: status["modules"]["cnn"]["runtimeStatus"] == "running"
        )
        why = (await client.get("/modules/cnn/why")).json()
    back = {"from": 2, "to": 1, "reason": "cnn: exited with code 3"}
    assert status["deployment"]["rolledBack"] == back
    assert status["deployment"]["lastDesiredStatus"]["code"] == 500
    assert status["modules"]["cnn"]["settings"]["image"] == "shell:1"
    assert "exited with code 3" in [step["what"] for step in why["chain"]]
    await device.knows("cnn", agent=agent_desired(1), version=3)
    async with management(device) as client:
        await until_status(client, lambda status: not status["modules"])
