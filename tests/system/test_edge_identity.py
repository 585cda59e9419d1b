"""A whole device that proves itself by certificate, and finds its hub by a provisioning service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from skerry.cli.main import skerry_command
from skerry.clock import SystemClock
from skerry.edge.daemon.provisioning import read_settings
from skerry.edge.main import EdgeAddresses, run
from skerry.service.certificates import Authority
from tests.support.edge import agent_desired
from tests.support.engine import MemoryEngine, World
from tests.unit.hub.provisioned import id_scope
from tests.unit.hub.running import RunningHub, running_hub

pytestmark = pytest.mark.system

CLOCK = SystemClock()


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 20.0) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := await condition()):
            await asyncio.sleep(0.03)
        return found


async def skerry(*words: str) -> Result:
    """A command as a person gives it, in a thread, since it runs a loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, skerry_command, ["edge", *words])


async def deployed(hub: RunningHub, device: str) -> None:
    content = {"$edgeAgent": {"properties.desired": agent_desired(1, cnn="cnn:1")}}
    hub_twin = {
        "schemaVersion": "1.1",
        "routes": {},
        "storeAndForwardConfiguration": {"timeToLiveSecs": 7200},
    }
    content["$edgeHub"] = {"properties.desired": hub_twin}
    await hub.service.apply_configuration(device, {"modulesContent": content})


async def runs(hub: RunningHub, device: str) -> bool:
    reported = (await hub.service.twin(device, "$edgeAgent"))["properties"]["reported"]
    return bool(reported.get("modules", {}).get("cnn", {}).get("runtimeStatus") == "running")


async def is_told(world: World, device: str) -> bool:
    return world.specs["cnn"].env["IOTEDGE_DEVICEID"] == device


async def test_a_device_of_a_group_finds_its_hub_and_follows_when_it_is_moved(
    tmp_path: Path,
) -> None:
    """By X.509 through the provisioning service; assigned anew while it runs, without losing a module."""
    line = Authority.create("line", CLOCK)
    own = line.issue_client("press-7")
    (tmp_path / "cert.pem").write_text(own.cert_chain_pem)
    (tmp_path / "key.pem").touch(mode=0o600)
    (tmp_path / "key.pem").write_text(own.key_pem)
    folder = tmp_path / "d"
    async with running_hub(tmp_path / "hub") as hub:
        signing = {"signingCertificates": {"primary": {"certificate": line.certificate_pem}}}
        document = {"attestation": {"type": "x509", "x509": signing}, "capabilities": {"iotEdge": True}}
        await hub.service.put_enrollment("line", document, group=True)
        done = await skerry(
            "provision",
            *("--dir", str(folder), "--id-scope", await id_scope(hub)),
            *("--dps-endpoint", f"https://localhost:{hub.addresses.https_port}"),
            *("--identity-cert", str(tmp_path / "cert.pem"), "--identity-key", str(tmp_path / "key.pem")),
            *("--hub-https-port", str(hub.addresses.https_port)),
            *("--hub-mqtt-port", str(hub.addresses.mqtt_port), "--hub-ca", str(hub.addresses.ca_file)),
            *("--listen", "127.0.0.1", "--mqtt-port", "0", "--https-port", "0"),
        )
        assert done.exit_code == 0, done.output
        assert "registration press-7 of https://localhost" in done.output
        engine = MemoryEngine(CLOCK, World(images={"cnn:1"}))
        ups: asyncio.Queue[EdgeAddresses] = asyncio.Queue()
        stop = asyncio.Event()
        task = asyncio.create_task(run(read_settings(folder, {}), stop, ups.put_nowait, None, engine))
        try:
            async with asyncio.timeout(20):
                await ups.get()
            await deployed(hub, "press-7")
            await until(lambda: runs(hub, "press-7"))
            same = await skerry("system", "reprovision", "--dir", str(folder))
            assert same.output == "press-7 at localhost\n"
            assert engine.world.journal == ["create cnn", "start cnn"], "its module never noticed"
            # Moved to an enrolment of its own, under another name at the hub.
            single = {"clientCertificates": {"primary": {"certificate": own.cert_chain_pem}}}
            document = {"attestation": {"type": "x509", "x509": single}, "capabilities": {"iotEdge": True}}
            await hub.service.put_enrollment("press-7", {**document, "deviceId": "hall-2"})
            moved = await skerry("system", "reprovision", "--dir", str(folder))
            assert moved.output == "hall-2 at localhost, changed\n"
            async with asyncio.timeout(20):
                await ups.get()
            await deployed(hub, "hall-2")
            await until(lambda: runs(hub, "hall-2"))
            # Its environment says who the device is: it was started anew, with the image that was there.
            await until(lambda: is_told(engine.world, "hall-2"))
        finally:
            stop.set()
            await task


async def test_a_device_with_a_certificate_starts_offline_once_it_was_in_contact(tmp_path: Path) -> None:
    root = Authority.create("plant", CLOCK)
    own = root.issue_client("press-7")
    (tmp_path / "cert.pem").write_text(own.cert_chain_pem)
    (tmp_path / "key.pem").touch(mode=0o600)
    (tmp_path / "key.pem").write_text(own.key_pem)
    folder = tmp_path / "d"
    world = World(images={"cnn:1"})

    async def once(until_up: Callable[[], Awaitable[Any]]) -> None:
        stop, ready = asyncio.Event(), asyncio.Event()
        engine = MemoryEngine(CLOCK, world)
        settings = read_settings(folder, {})
        task = asyncio.create_task(run(settings, stop, lambda _: ready.set(), None, engine))
        try:
            async with asyncio.timeout(20):
                await ready.wait()
            await until_up()
        finally:
            stop.set()
            await task

    async with running_hub(tmp_path / "hub") as hub:
        await hub.service.put_certificate("plant", root.certificate_pem, verified=True)
        authentication = {"type": "certificateAuthority"}
        await hub.service.create_device("press-7", edge=True, authentication=authentication)
        await deployed(hub, "press-7")
        done = await skerry(
            "provision",
            *("--dir", str(folder), "--iothub-hostname", "localhost", "--device-id", "press-7"),
            *("--identity-cert", str(tmp_path / "cert.pem"), "--identity-key", str(tmp_path / "key.pem")),
            *("--hub-https-port", str(hub.addresses.https_port)),
            *("--hub-mqtt-port", str(hub.addresses.mqtt_port), "--hub-ca", str(hub.addresses.ca_file)),
            *("--listen", "127.0.0.1", "--mqtt-port", "0", "--https-port", "0"),
        )
        assert done.exit_code == 0, done.output
        await once(lambda: until(lambda: runs(hub, "press-7")))
    world.modules.clear()

    async def running_again() -> bool:
        return bool(world.modules) and all(one.status == "running" for one in world.modules.values())

    await once(lambda: until(running_again))
