"""Devices that speak HTTP only (contract §2.10), with commands sent over AMQP; and faults (§2.11)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from skerry.contract.message import Message
from tests.unit.hub.amqp_client import amqp_client
from tests.unit.hub.running import RunningHub, connected, running_hub

EVENTS, COMMANDS = "/devices/dev/messages/events", "/devices/dev/messages/devicebound"


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub", amqp_port=0) as running:
        yield running


async def test_a_message_is_sent_with_its_properties(hub: RunningHub) -> None:
    token = hub.device_token(await hub.service.create_device("dev"))
    headers = {
        "iothub-app-level": "high",
        "IoTHub-MessageId": "m-1",
        "iothub-contenttype": "application/json",
    }
    headers["iothub-contentencoding"] = "utf-8"
    answer = await hub.raw("POST", EVENTS, token, content=b'{"t": 1}', headers=headers)
    assert answer.status_code == 204
    batch = [
        {"body": base64.b64encode(b"%d" % n).decode(), "properties": {"iothub-app-n": n}} for n in (1, 2)
    ]
    kind = {"content-type": "application/vnd.microsoft.iothub.json"}
    assert (await hub.raw("POST", EVENTS, token, body=batch, headers=kind)).status_code == 204
    events = (await hub.raw("GET", "/events/page?after=0&wait=5")).json()["events"]
    assert [event["body"] for event in events] == [{"t": 1}, "MQ==", "Mg=="]
    assert events[0]["properties"] == {"level": "high"}
    assert events[0]["systemProperties"]["messageId"] == "m-1"
    assert [event["properties"] for event in events[1:]] == [{"n": "1"}, {"n": "2"}]
    assert {event["deviceId"] for event in events} == {"dev"}


async def test_a_bad_batch_stores_nothing(hub: RunningHub) -> None:
    token = hub.device_token(await hub.service.create_device("dev"))
    kind = {"content-type": "application/vnd.microsoft.iothub.json"}
    good = {"body": "MQ==", "properties": {}}
    wrong: list[Any] = [{}, [good, {"body": "?"}], [good, {"body": 1}], [good, 1]]
    for bad in wrong:
        assert (await hub.raw("POST", EVENTS, token, body=bad, headers=kind)).status_code == 400
    assert (await hub.raw("POST", EVENTS, token, content=b"x" * 270_000)).status_code == 413
    assert (await hub.raw("GET", "/events/page?after=0&wait=0")).json()["events"] == []


async def test_a_device_acts_only_for_itself(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    other = hub.device_token(await hub.service.create_device("other"))
    for method, path in (("POST", EVENTS), ("GET", COMMANDS), ("DELETE", f"{COMMANDS}/lock")):
        assert (await hub.raw(method, path, other)).status_code == 403
        assert (await hub.raw(method, path, "")).status_code == 401
        assert (await hub.raw(method, path, hub.token("service"))).status_code == 403


async def test_commands_are_received_and_completed_rejected_or_abandoned(hub: RunningHub) -> None:
    token = hub.device_token(await hub.service.create_device("dev"))
    assert (await hub.raw("GET", COMMANDS, token)).status_code == 204
    async with amqp_client(hub) as client:
        for n in range(2):
            application = {"lével": "hö\r\nher", "n": str(n)}
            await client.command("dev", f"{n}", message_id=f"m-{n}", ack="full", application=application)
    first = await hub.raw("GET", COMMANDS, token)
    lock = first.headers["etag"].strip('"')
    assert (first.status_code, first.content) == (200, b"0")
    assert (first.headers["iothub-messageid"], first.headers["iothub-ack"]) == ("m-0", "full")
    assert first.headers["iothub-app-n"] == "0"
    assert first.headers["iothub-app-l%C3%A9vel"] == "h%C3%B6%0D%0Aher"
    assert (await hub.raw("POST", f"{COMMANDS}/{lock}/abandon", token)).status_code == 204
    assert (await hub.raw("DELETE", f"{COMMANDS}/{lock}", token)).status_code == 412
    again = await hub.raw("GET", COMMANDS, token)
    assert (again.content, again.headers["iothub-deliverycount"]) == (b"0", "1")
    lock = again.headers["etag"].strip('"')
    assert (await hub.raw("DELETE", f"{COMMANDS}/{lock}", token)).status_code == 204
    lock = (await hub.raw("GET", COMMANDS, token)).headers["etag"].strip('"')
    assert (await hub.raw("DELETE", f"{COMMANDS}/{lock}?reject=true", token)).status_code == 204
    assert (await hub.raw("GET", COMMANDS, token)).status_code == 204
    feedback = await hub.raw("GET", "/messages/serviceBound/feedback")
    assert [record["statusCode"] for record in feedback.json()] == ["Success", "Rejected"]
    lock = feedback.headers["etag"].strip('"')
    assert (await hub.raw("POST", f"/messages/serviceBound/feedback/{lock}/abandon")).status_code == 204
    lock = (await hub.raw("GET", "/messages/serviceBound/feedback")).headers["etag"].strip('"')
    assert (await hub.raw("DELETE", f"/messages/serviceBound/feedback/{lock}")).status_code == 204
    assert (await hub.raw("GET", "/messages/serviceBound/feedback")).status_code == 204


async def test_purging_and_deleting_leave_no_commands(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    async with amqp_client(hub) as client:
        for _ in range(3):
            await client.command("dev")
        answer = await hub.raw("DELETE", "/devices/dev/commands")
        assert answer.json() == {"totalMessagesPurged": 3, "deviceId": "dev", "moduleId": None}
        await client.command("dev")
    assert (await hub.raw("DELETE", "/devices/nobody/commands")).status_code == 404
    listed = (await hub.raw("GET", "/devices")).json()
    twin = (await hub.raw("GET", "/twins/dev")).json()
    assert (listed[0]["cloudToDeviceMessageCount"], twin["cloudToDeviceMessageCount"]) == (1, 1)
    assert (await hub.raw("DELETE", "/devices/dev")).status_code == 204
    assert (await hub.service.create_device("dev"))["cloudToDeviceMessageCount"] == 0


async def test_a_device_that_asks_for_a_fault_is_disconnected_and_its_message_kept(hub: RunningHub) -> None:
    device = hub.device(await hub.service.create_device("dev"))
    async with connected(device):
        changes: list[bool] = []
        device.on_connection_changed = changes.append
        await device.send(Message(b"x", {"AzIoTHub_FaultOperationType": "KillTcp"}))
        async with asyncio.timeout(10):
            while changes[:2] != [False, True]:
                await asyncio.sleep(0.01)
    assert len((await hub.raw("GET", "/events/page?after=0&wait=5")).json()["events"]) == 1
