"""The edge hub between a hub and its modules: twins, methods, reports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from skerry.clock import SystemClock
from skerry.contract.credentials import key_signer, make_token
from skerry.contract.message import Message
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.edge.main import EdgeAddresses
from skerry.service.tls import client_context
from tests.support.edge import DEVICE, HUB, Device, agent_desired, hub_desired, key_of, module
from tests.support.engine import MemoryEngine, World
from tests.support.small_hub import SmallHub

CNN = module("cnn")


async def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[SmallHub]:
    hub = SmallHub(SystemClock())
    (tmp_path / "ca.pem").write_text(hub.authority.root_pem)
    async with hub.running():
        yield hub


@pytest.fixture
async def device(hub: SmallHub, tmp_path: Path) -> Device:
    device = Device.provisioned(
        tmp_path / "d",
        hub_ca=tmp_path / "ca.pem",
        upstream=True,
        hub_address="127.0.0.1",
        hub_mqtt_port=hub.port,
        hub_https_port=1,
    )
    await device.knows("cnn", "camera")
    return device


async def test_the_first_contact_brings_routes_and_modules(hub: SmallHub, device: Device) -> None:
    hub.desired[module("$edgeAgent")] = agent_desired(1, cnn="cnn:1")
    hub.desired[module("$edgeHub")] = hub_desired(up="FROM /* INTO $upstream")
    engine = MemoryEngine(SystemClock(), World(registry={"cnn:1"}))
    async with device.running(engine) as addresses:
        reported = hub.reported[module("$edgeAgent")]
        await eventually(
            lambda: (
                reported is not None
                and hub.reported[module("$edgeAgent")].get("lastDesiredStatus", {}).get("code") == 200
            )
        )
        assert hub.reported[module("$edgeAgent")]["modules"]["cnn"]["runtimeStatus"] == "running"
        cnn = device.client("cnn", addresses)
        await cnn.start()
        await cnn.send(Message(b"result", {"label": "cat"}), "out")
        await eventually(lambda: hub.received)
        sender, message = hub.received[0]
        assert (sender, message.body, message.properties["label"]) == (CNN, b"result", "cat")
        assert message.properties["skerry-seq"] == "1"
        assert message.system["outputName"] == "out"
        assert message.system["connectionModuleId"] == "cnn"
        await eventually(
            lambda: (
                hub.reported[module("$edgeHub")].get("clients", {}).get("edge-1/cnn", {}).get("status")
                == "Connected"
            )
        )
        await cnn.stop()


async def test_twins_are_relayed_and_survive_a_cut(hub: SmallHub, device: Device) -> None:
    hub.desired[CNN] = {"model": "a"}
    changes: list[dict[str, Any]] = []
    async with device.running() as addresses:
        cnn = device.client("cnn", addresses)

        async def on_desired(patch: dict[str, Any], version: int) -> None:
            changes.append(patch)

        cnn.on_desired = on_desired
        await cnn.start()
        await eventually(lambda: any(change.get("model") == "a" for change in changes))
        await hub.set_desired(CNN, {"model": "b"})
        await eventually(lambda: changes[-1].get("model") == "b")
        await hub.cut()
        assert (await cnn.twin())["desired"]["model"] == "b"
        await cnn.report({"state": {"model": "b", "old": 1}})
        await cnn.report({"state": {"old": None}})
        assert (await cnn.twin())["reported"]["state"] == {"model": "b"}
        await hub.set_desired(CNN, {"model": "c", "extra": True})
        await hub.open()
        await eventually(lambda: hub.reported[CNN] == {"state": {"model": "b"}})
        await eventually(lambda: changes[-1].get("model") == "c")
        await cnn.stop()


async def test_methods_reach_modules_and_the_agent(hub: SmallHub, device: Device) -> None:
    async with device.running() as addresses:
        cnn = device.client("cnn", addresses)

        async def on_method(request: MethodRequest) -> MethodResponse:
            return MethodResponse(207, {"name": request.name, "payload": request.payload})

        cnn.on_method = on_method
        await cnn.start()
        await eventually(lambda: CNN in hub.sessions and hub.sessions[CNN].subscribed_to("methods"))
        await eventually(lambda: cnn.connected)
        await asyncio.sleep(0.05)
        answer = await hub.invoke(CNN, "predict", {"n": 1})
        assert answer == MethodResponse(207, {"name": "predict", "payload": {"n": 1}})
        await eventually(lambda: module("$edgeAgent") in hub.sessions)
        await eventually(lambda: hub.sessions[module("$edgeAgent")].subscribed_to("methods"))
        assert await hub.invoke(module("$edgeAgent"), "ping") == MethodResponse(200, None)
        await cnn.stop()


async def invoke_locally(
    addresses: EdgeAddresses, caller: str, target: str, **changes: str
) -> httpx.Response:
    token = make_token(module(caller).resource(HUB), key_signer(key_of(caller)), 4_000_000_000)
    headers = {"Authorization": token, "x-ms-edge-moduleId": f"{DEVICE}/{caller}", **changes}
    tls = client_context(addresses.ca_file.read_text())
    async with httpx.AsyncClient(verify=tls, trust_env=False) as client:
        return await client.post(
            f"https://localhost:{addresses.https_port}/twins/{DEVICE}/modules/{target}/methods",
            params={"api-version": "2019-10-01"},
            headers={name: value for name, value in headers.items() if value},
            json={"methodName": "predict", "payload": [1], "responseTimeoutInSeconds": 5},
        )


async def test_a_module_invokes_another_over_https(device: Device) -> None:
    async with device.running() as addresses:
        cnn = device.client("cnn", addresses)

        async def on_method(request: MethodRequest) -> MethodResponse:
            return MethodResponse(200, request.payload)

        cnn.on_method = on_method
        await cnn.start()
        await eventually(lambda: cnn.connected)
        await asyncio.sleep(0.05)
        answer = await invoke_locally(addresses, "camera", "cnn")
        assert (answer.status_code, answer.json()) == (200, {"status": 200, "payload": [1]})
        assert (await invoke_locally(addresses, "camera", "nobody")).status_code == 404
        assert (await invoke_locally(addresses, "camera", "cnn", Authorization="")).status_code == 401
        wrong = {"x-ms-edge-moduleId": f"{DEVICE}/cnn"}
        assert (await invoke_locally(addresses, "camera", "cnn", **wrong)).status_code == 401
        missing = {"x-ms-edge-moduleId": ""}
        assert (await invoke_locally(addresses, "camera", "cnn", **missing)).status_code == 400
        await cnn.stop()


async def test_an_identity_is_waited_for_without_a_word(
    hub: SmallHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = Device.provisioned(
        tmp_path / "new",
        hub_ca=tmp_path / "ca.pem",
        upstream=True,
        hub_address="127.0.0.1",
        hub_mqtt_port=hub.port,
        hub_https_port=1,
    )
    async with stranger.running():
        await asyncio.sleep(0.3)
    assert [record.message for record in caplog.records if "has no key" in record.message] == []


async def test_a_report_of_an_earlier_run_reaches_the_hub_without_its_owner(
    hub: SmallHub, device: Device
) -> None:
    await hub.cut()
    async with device.running() as addresses:
        cnn = device.client("cnn", addresses)
        await cnn.start()
        await cnn.report({"label": "cat"})
        await cnn.stop()
    await hub.open()
    async with device.running():
        await eventually(lambda: hub.reported[CNN] == {"label": "cat"})
