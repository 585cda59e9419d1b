"""``azure-iot-device`` as a device against the hub, and ``azure-iot-hub`` at the other end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from azure.iot.device import Message, MethodRequest, MethodResponse
from azure.iot.device.aio import IoTHubDeviceClient
from azure.iot.device.exceptions import CredentialError
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, Twin, TwinProperties

from skerry.contract.method import MethodRequest as Call
from tests.support.stack import Hub, eventually

# The SDK asks Python for TLS 1.2 in a way that Python has deprecated.
pytestmark = [pytest.mark.system, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

Json = dict[str, Any]


@pytest.fixture
async def device_string(hub: Hub) -> str:
    return await hub.create_device("dev-1")


@pytest.fixture(params=["mqtt", "websocket"])
async def device(request: pytest.FixtureRequest, hub: Hub, device_string: str) -> AsyncIterator[Any]:
    """The SDK's client, connected over both transports in turn."""
    client = IoTHubDeviceClient.create_from_connection_string(
        device_string,
        websockets=request.param == "websocket",
        server_verification_cert=hub.ca_pem,
        connection_retry_interval=1,
    )
    await client.connect()
    yield client
    await client.shutdown()


async def answer_methods(client: Any) -> None:
    async def on_method(request: MethodRequest) -> None:
        payload = {"name": request.name, "got": request.payload}
        await client.send_method_response(MethodResponse.create_from_method_request(request, 207, payload))

    client.on_method_request_received = on_method
    # The setter subscribes in the background; the hub refuses a method before that has happened.


async def invoke(hub: Hub, payload: Any = None) -> Json:
    call = Call("blink", payload, response_timeout_s=10, connect_timeout_s=10)
    answer = await hub.service.invoke_method("dev-1", call)
    return {"status": answer.status, "payload": answer.payload}


async def test_a_message_arrives_with_its_properties(hub: Hub, device: Any) -> None:
    message = Message(
        '{"t": 21.5}', message_id="m-1", content_encoding="utf-8", content_type="application/json"
    )
    message.correlation_id = "c/1 &="
    message.user_id = "someone"
    message.custom_properties = {"level": "höher & mehr", "a/b": "50%", "empty": ""}
    await device.send_message(message)
    (event,) = await hub.events(1)
    assert event["deviceId"] == "dev-1"
    assert event["moduleId"] is None
    assert event["body"] == {"t": 21.5}
    assert event["properties"] == {"level": "höher & mehr", "a/b": "50%", "empty": ""}
    system = event["systemProperties"]
    assert system.items() >= {
        "messageId": "m-1",
        "correlationId": "c/1 &=",
        "userId": "someone",
        "contentType": "application/json",
        "contentEncoding": "utf-8",
        "connectionDeviceId": "dev-1",
    }.items()


async def test_messages_arrive_in_the_order_they_were_sent(hub: Hub, device: Any) -> None:
    await asyncio.gather(*(device.send_message(Message(f'"{n}"')) for n in range(20)))
    for n in range(20, 25):
        await device.send_message(Message(b"\x00\xff%d" % n))
    events = await hub.events(25)
    assert len(events) == 25
    assert {event["bodyEncoding"] for event in events} == {"base64"}


async def test_reported_properties_go_up_and_desired_ones_come_down(hub: Hub, device: Any) -> None:
    assert await device.get_twin() == {"desired": {"$version": 1}, "reported": {"$version": 1}}
    patches: list[Json] = []
    device.on_twin_desired_properties_patch_received = patches.append
    await device.patch_twin_reported_properties({"led": {"on": True}, "gone": 1})
    await device.patch_twin_reported_properties({"gone": None})
    assert (await device.get_twin())["reported"] == {"led": {"on": True}, "$version": 3}
    twin = await hub.service.twin("dev-1")
    assert twin["properties"]["reported"]["led"] == {"on": True}
    await hub.service.patch_twin("dev-1", desired={"interval": 5, "mode": {"night": None, "day": "x"}})
    await eventually(lambda: len(patches) == 1)
    assert patches == [{"interval": 5, "mode": {"night": None, "day": "x"}, "$version": 2}]
    assert (await device.get_twin())["desired"] == {"interval": 5, "mode": {"day": "x"}, "$version": 2}


async def test_a_direct_method_is_answered(hub: Hub, device: Any) -> None:
    await answer_methods(device)
    assert await invoke(hub, {"times": 3}) == {
        "status": 207,
        "payload": {"name": "blink", "got": {"times": 3}},
    }
    assert await invoke(hub) == {"status": 207, "payload": {"name": "blink", "got": None}}


async def test_subscriptions_outlive_a_restart_of_the_hub(hub: Hub, device: Any) -> None:
    """The SDK reconnects on its own and never subscribes again (contract.md §0)."""
    patches: list[Json] = []
    device.on_twin_desired_properties_patch_received = patches.append
    await answer_methods(device)
    assert (await invoke(hub, 1))["payload"]["got"] == 1
    await hub.stop()
    await eventually(lambda: not device.connected)
    waiting = asyncio.create_task(device.send_message(Message("said while the hub was away")))
    await hub.start()
    await waiting
    await eventually(lambda: bool(device.connected))
    assert (await invoke(hub, 2))["payload"]["got"] == 2
    await hub.service.patch_twin("dev-1", desired={"interval": 6})
    await eventually(lambda: len(patches) == 1)
    assert patches[0]["interval"] == 6
    assert len(await hub.events(1)) == 1


async def test_a_wrong_key_is_a_credential_error(hub: Hub, device_string: str) -> None:
    other = await hub.create_device("dev-2")
    wrong = device_string.rpartition("SharedAccessKey=")[0] + other[other.index("SharedAccessKey=") :]
    client = IoTHubDeviceClient.create_from_connection_string(wrong, server_verification_cert=hub.ca_pem)
    with pytest.raises(CredentialError):
        await client.connect()
    await client.shutdown()


async def test_an_unknown_device_is_a_credential_error(hub: Hub, device_string: str) -> None:
    client = IoTHubDeviceClient.create_from_connection_string(
        device_string.replace("dev-1", "dev-3"), server_verification_cert=hub.ca_pem
    )
    with pytest.raises(CredentialError):
        await client.connect()
    await client.shutdown()


async def test_both_ends_are_microsofts(hub: Hub, device: Any) -> None:
    patches: list[Json] = []
    device.on_twin_desired_properties_patch_received = patches.append
    await answer_methods(device)
    assert (await invoke(hub))["status"] == 207

    def serve() -> tuple[Any, Any]:
        manager = IoTHubRegistryManager.from_connection_string(hub.service_string)
        before = manager.get_twin("dev-1")
        change = Twin(tags={"site": "a"}, properties=TwinProperties(desired={"interval": 7}))
        after = manager.update_twin("dev-1", change, before.etag)
        call = CloudToDeviceMethod(method_name="blink", payload="now", response_timeout_in_seconds=10)
        return after, manager.invoke_device_method("dev-1", call)

    twin, result = await asyncio.to_thread(serve)
    assert (result.status, result.payload) == (207, {"name": "blink", "got": "now"})
    assert twin.tags == {"site": "a"}
    assert twin.properties.desired["interval"] == 7
    await eventually(lambda: len(patches) == 1)
    assert patches[0]["interval"] == 7
