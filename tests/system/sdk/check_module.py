"""``azure-iot-device`` as a module against the edge hub, by ``create_from_edge_environment``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from azure.iot.device import IoTHubModuleClient

from tests.support.stack import Edge, Hub, eventually
from tests.system.sdk.clients import SDK_MARKS, answer_methods, desired_patches, json_message, message

pytestmark = SDK_MARKS


@contextmanager
def module(edge: Edge, name: str) -> Iterator[Any]:
    """The SDK's client in the environment the agent gave the module, connected."""
    with patch.dict(os.environ, edge.environment(name)):
        client = IoTHubModuleClient.create_from_edge_environment(connection_retry_interval=1)
    client.connect()
    try:
        yield client
    finally:
        client.shutdown()


@pytest.fixture
def sender(edge: Edge) -> Iterator[Any]:
    with module(edge, "sender") as client:
        yield client


@pytest.fixture
def receiver(edge: Edge) -> Iterator[Any]:
    with module(edge, "receiver") as client:
        yield client


def test_an_output_routed_upstream_arrives_with_its_origin(hub: Hub, sender: Any) -> None:
    sender.send_message_to_output(json_message('{"n": 1}', {"level": "höher"}, message_id="m-1"), "up")
    (event,) = hub.events(1)
    assert (event["deviceId"], event["moduleId"]) == ("edge-1", "sender")
    assert event["body"] == {"n": 1}
    # The edge hub adds its numbering; what the module said is untouched.
    assert event["properties"].items() > {"level": "höher"}.items()
    system = event["systemProperties"]
    assert (system["connectionDeviceId"], system["connectionModuleId"]) == ("edge-1", "sender")
    assert (system["messageId"], system["contentType"]) == ("m-1", "application/json")


def test_a_message_goes_from_module_to_module(sender: Any, receiver: Any) -> None:
    got: list[Any] = []
    receiver.on_message_received = got.append
    for n in range(10):
        image = message(f"image {n}", {"n": str(n)}, content_type="image/png")
        sender.send_message_to_output(image, "across")
    eventually(lambda: len(got) == 10)
    assert [one.data for one in got] == [b"image %d" % n for n in range(10)]
    assert {one.input_name for one in got} == {"in"}
    assert [one.custom_properties["n"] for one in got] == [str(n) for n in range(10)]
    assert {one.content_type for one in got} == {"image/png"}


def test_the_twin_goes_both_ways(hub: Hub, receiver: Any) -> None:
    assert receiver.get_twin()["desired"]["interval"] == 5
    patches = desired_patches(receiver)
    hub.call(lambda service: service.patch_twin("edge-1", "receiver", desired={"interval": 9}))
    eventually(lambda: len(patches) == 1)
    assert patches[0]["interval"] == 9
    assert receiver.get_twin()["desired"]["interval"] == 9
    receiver.patch_twin_reported_properties({"state": {"busy": True}})
    assert receiver.get_twin()["reported"]["state"] == {"busy": True}

    def at_the_hub() -> Any:
        twin = hub.call(lambda service: service.twin("edge-1", "receiver"))
        return twin["properties"]["reported"].get("state")

    eventually(lambda: at_the_hub() is not None)
    assert at_the_hub() == {"busy": True}


def test_a_direct_method_of_the_hub_reaches_the_module(hub: Hub, receiver: Any) -> None:
    answer_methods(receiver)
    answer = hub.invoke("edge-1", "blink", {"times": 3}, "receiver")
    assert (answer.status, answer.payload) == (207, {"name": "blink", "got": {"times": 3}})


def test_a_module_invokes_a_method_of_another(sender: Any, receiver: Any) -> None:
    answer_methods(receiver)
    call = {
        "methodName": "blink",
        "payload": "now",
        "responseTimeoutInSeconds": 8,
        "connectTimeoutInSeconds": 8,
    }
    answer = sender.invoke_method(call, "edge-1", "receiver")
    assert answer == {"status": 207, "payload": {"name": "blink", "got": "now"}}


def test_without_a_hub_a_new_module_process_is_authenticated_and_loses_nothing(hub: Hub, edge: Edge) -> None:
    environment = {**os.environ, **edge.environment("sender")}

    def send(text: str) -> None:
        command = [sys.executable, "-m", "tests.system.sdk.send_one", "up", text]
        subprocess.run(command, env=environment, timeout=20, check=True)

    send("before")
    assert len(hub.events(1)) == 1
    hub.stop()
    send("during")
    hub.start()
    send("after")
    events = hub.events(3, device="edge-1", module="sender")
    assert [event["body"] for event in events] == ["YmVmb3Jl", "ZHVyaW5n", "YWZ0ZXI="]


def test_a_module_that_is_not_who_it_says_gets_no_signature(edge: Edge) -> None:
    stolen = {**edge.environment("sender"), "IOTEDGE_MODULEID": "receiver"}
    with patch.dict(os.environ, stolen), pytest.raises(ValueError, match="SasToken"):
        IoTHubModuleClient.create_from_edge_environment()
