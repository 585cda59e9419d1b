"""``azure-iot-device`` as a device against the hub, and ``azure-iot-hub`` at the other end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from azure.iot.device import IoTHubDeviceClient
from azure.iot.device.exceptions import CredentialError
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, Twin, TwinProperties

from tests.support.stack import Hub, eventually
from tests.system.sdk.clients import SDK_MARKS, answer_methods, desired_patches, json_message, message

pytestmark = SDK_MARKS


@pytest.fixture
def device_string(hub: Hub) -> str:
    return hub.create_device("dev-1")


@pytest.fixture(params=["mqtt", "websocket"])
def device(request: pytest.FixtureRequest, hub: Hub, device_string: str) -> Iterator[Any]:
    """The SDK's client, connected over one transport and then the other."""
    client = IoTHubDeviceClient.create_from_connection_string(
        device_string,
        websockets=request.param == "websocket",
        server_verification_cert=hub.ca_file.read_text(),
        connection_retry_interval=1,
    )
    client.connect()
    yield client
    client.shutdown()


def test_a_message_arrives_with_its_properties(hub: Hub, device: Any) -> None:
    properties = {"level": "höher & mehr", "a/b": "50%", "empty": ""}
    system = {"message_id": "m-1", "correlation_id": "c/1 &=", "user_id": "someone"}
    device.send_message(json_message('{"t": 21.5}', properties, **system))
    (event,) = hub.events(1)
    assert (event["deviceId"], event["moduleId"]) == ("dev-1", None)
    assert event["body"] == {"t": 21.5}
    assert event["properties"] == properties
    expected = {
        "messageId": "m-1",
        "correlationId": "c/1 &=",
        "userId": "someone",
        "contentType": "application/json",
        "contentEncoding": "utf-8",
        "connectionDeviceId": "dev-1",
    }
    assert {name: event["systemProperties"].get(name) for name in expected} == expected


def test_messages_sent_one_after_the_other_arrive_in_order(hub: Hub, device: Any) -> None:
    for n in range(20):
        device.send_message(message(b"\x00\xff", message_id=f"m-{n}"))
    events = hub.events(20)
    assert [event["systemProperties"]["messageId"] for event in events] == [f"m-{n}" for n in range(20)]
    assert {event["body"] for event in events} == {"AP8="}


def test_reported_properties_go_up_and_desired_ones_come_down(hub: Hub, device: Any) -> None:
    assert device.get_twin() == {"desired": {"$version": 1}, "reported": {"$version": 1}}
    patches = desired_patches(device)
    device.patch_twin_reported_properties({"led": {"on": True}, "gone": 1})
    device.patch_twin_reported_properties({"gone": None})
    assert device.get_twin()["reported"] == {"led": {"on": True}, "$version": 3}
    twin = hub.call(lambda service: service.twin("dev-1"))
    assert twin["properties"]["reported"]["led"] == {"on": True}
    change = {"interval": 5, "mode": {"night": None, "day": "x"}}
    hub.call(lambda service: service.patch_twin("dev-1", desired=change))
    eventually(lambda: len(patches) == 1)
    assert patches == [{**change, "$version": 2}]
    assert device.get_twin()["desired"] == {"interval": 5, "mode": {"day": "x"}, "$version": 2}


def test_a_direct_method_is_answered(hub: Hub, device: Any) -> None:
    answer_methods(device)
    for payload in ({"times": 3}, "text", None):
        answer = hub.invoke("dev-1", "blink", payload)
        assert (answer.status, answer.payload) == (207, {"name": "blink", "got": payload})


def test_subscriptions_outlive_a_restart_of_the_hub(hub: Hub, device: Any) -> None:
    """The SDK reconnects on its own and never subscribes again (contract.md §0)."""
    answer_methods(device)
    patches = desired_patches(device)
    assert hub.invoke("dev-1", "blink", 1).payload["got"] == 1
    hub.stop()
    eventually(lambda: not device.connected)
    hub.start()
    eventually(lambda: bool(device.connected))
    assert hub.invoke("dev-1", "blink", 2).payload["got"] == 2
    hub.call(lambda service: service.patch_twin("dev-1", desired={"interval": 6}))
    eventually(lambda: len(patches) == 1)
    assert patches[0]["interval"] == 6
    device.send_message("back again")
    assert len(hub.events(1)) == 1


def test_a_newer_connection_takes_over(hub: Hub, device: Any, device_string: str) -> None:
    lost = threading.Event()
    device.on_connection_state_change = lost.set
    newer = IoTHubDeviceClient.create_from_connection_string(
        device_string, server_verification_cert=hub.ca_file.read_text(), connection_retry=False
    )
    newer.connect()
    newer.send_message("newer")
    assert lost.wait(10)
    newer.shutdown()
    assert len(hub.events(1)) == 1


@pytest.mark.parametrize("fault", ["wrong key", "unknown device"])
def test_a_device_that_is_not_who_it_says_gets_a_credential_error(
    hub: Hub, device_string: str, fault: str
) -> None:
    if fault == "wrong key":
        mine, theirs = (
            text.rpartition("SharedAccessKey=") for text in (device_string, hub.create_device("x"))
        )
        text = "".join((*mine[:2], theirs[2]))
    else:
        text = device_string.replace("DeviceId=dev-1", "DeviceId=dev-2")
    client = IoTHubDeviceClient.create_from_connection_string(
        text, server_verification_cert=hub.ca_file.read_text()
    )
    with pytest.raises(CredentialError):
        client.connect()
    client.shutdown()


def test_both_ends_are_microsofts(hub: Hub, device: Any) -> None:
    answer_methods(device)
    patches = desired_patches(device)
    manager = IoTHubRegistryManager.from_connection_string(hub.service_string)
    before = manager.get_twin("dev-1")
    change = Twin(tags={"site": "a"}, properties=TwinProperties(desired={"interval": 7}))
    after = manager.update_twin("dev-1", change, before.etag)
    assert after.tags == {"site": "a"}
    assert after.properties.desired["interval"] == 7
    eventually(lambda: len(patches) == 1)
    assert patches[0]["interval"] == 7
    call = CloudToDeviceMethod(method_name="blink", payload="now", response_timeout_in_seconds=10)
    result = manager.invoke_device_method("dev-1", call)
    assert (result.status, result.payload) == (207, {"name": "blink", "got": "now"})
