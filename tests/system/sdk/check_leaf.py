"""A leaf device on ``azure-iot-device`` behind the edge device; Microsoft's service SDK writes to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import certifi
import pytest
from azure.iot.device import IoTHubDeviceClient
from azure.iot.hub import IoTHubRegistryManager

from tests.support.namespace import GATEWAY_NAME
from tests.support.stack import Edge, Hub, eventually
from tests.system.sdk.check_module import module
from tests.system.sdk.clients import SDK_MARKS, answer_methods

pytestmark = SDK_MARKS


@pytest.fixture
def registry(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Any:
    # uamqp trusts certifi's roots and nothing else; it asks for the file each time.
    monkeypatch.setattr(certifi, "where", lambda: str(hub.ca_file))
    return IoTHubRegistryManager.from_connection_string(hub.service_string)


@pytest.fixture
def leaf_string(hub: Hub, edge: Edge) -> str:
    """The connection string of a device in the scope of ``edge-1``, by way of it."""
    scope = hub.call(lambda service: service.device("edge-1"))["deviceScope"]
    text = hub.create_device("leaf-1")
    record = hub.call(lambda service: service.device("leaf-1"))
    hub.call(lambda service: service.update_device({**record, "deviceScope": scope}))
    return f"{text};GatewayHostName={GATEWAY_NAME}"


@contextmanager
def leaf(edge: Edge, text: str, commands: list[Any]) -> Iterator[Any]:
    """Its client, connected to the gateway whose CA it knows."""
    client = IoTHubDeviceClient.create_from_connection_string(
        text, server_verification_cert=edge.ca_file.read_text(), connection_retry_interval=1
    )
    client.on_message_received = commands.append
    client.connect()
    try:
        yield client
    finally:
        client.shutdown()


def test_commands_reach_a_leaf_device_through_the_gateway(
    hub: Hub, edge: Edge, leaf_string: str, registry: Any
) -> None:
    commands: list[Any] = []
    with leaf(edge, leaf_string, commands) as client:
        assert client.get_twin()["desired"]["$version"] >= 1
        registry.send_c2d_message("leaf-1", "now", {"messageId": "m-1", "level": "high"})
        eventually(lambda: len(commands) == 1)
    assert (commands[0].data, commands[0].message_id) == (b"now", "m-1")
    assert commands[0].custom_properties["level"] == "high"
    # The leaf is away, then the whole gateway: the hub keeps what the leaf did not acknowledge.
    registry.send_c2d_message("leaf-1", "later")
    edge.stop()
    registry.send_c2d_message("leaf-1", "last")
    edge.start()
    with leaf(edge, leaf_string, commands):
        eventually(lambda: {command.data for command in commands} == {b"now", b"later", b"last"})
    assert list(dict.fromkeys(command.data for command in commands)) == [b"now", b"later", b"last"]


def test_a_module_invokes_a_method_of_a_leaf_device(edge: Edge, leaf_string: str) -> None:
    call = {"methodName": "blink", "payload": 7, "responseTimeoutInSeconds": 8, "connectTimeoutInSeconds": 8}
    with leaf(edge, leaf_string, []) as client, module(edge, "sender") as sender:
        answer_methods(client)
        answer = sender.invoke_method(call, "leaf-1")
    assert answer == {"status": 207, "payload": {"name": "blink", "got": 7}}
