"""Plug and Play with Microsoft's SDKs: a device that names its model, a service that sees a digital twin."""

from __future__ import annotations

from typing import Any

from azure.iot.device import IoTHubDeviceClient
from azure.iot.hub import DigitalTwinClient, IoTHubRegistryManager
from azure.iot.hub.models import QuerySpecification

from tests.support.stack import Hub, eventually
from tests.system.sdk.clients import SDK_MARKS, answer_methods, desired_patches

pytestmark = SDK_MARKS

MODEL = "dtmi:com:example:TemperatureController;1"


def test_a_device_of_a_model_is_seen_changed_and_commanded(hub: Hub) -> None:
    device: Any = IoTHubDeviceClient.create_from_connection_string(
        hub.create_device("dev-1"), server_verification_cert=hub.ca_file.read_text(), product_info=MODEL
    )
    answer_methods(device)
    patches = desired_patches(device)
    device.connect()
    device.patch_twin_reported_properties({"sensor": {"__t": "c", "max": 3}, "serial": "a-1"})
    client = DigitalTwinClient.from_connection_string(hub.service_string)
    seen = client.get_digital_twin("dev-1")
    assert seen["$metadata"]["$model"] == MODEL
    assert (seen["serial"], seen["sensor"]["max"]) == ("a-1", 3)
    client.update_digital_twin("dev-1", [{"op": "add", "path": "/sensor/limit", "value": 5}], "*")
    eventually(lambda: len(patches) == 1)
    assert patches[0] == {"sensor": {"__t": "c", "limit": 5}, "$version": 2}
    answer = client.invoke_command("dev-1", "reboot", {"in": 3}, 5, 10)
    assert answer == {"name": "reboot", "got": {"in": 3}}
    answer = client.invoke_component_command("dev-1", "sensor", "reset", "now", 5, 10)
    assert answer == {"name": "sensor*reset", "got": "now"}
    device.shutdown()
    registry = IoTHubRegistryManager.from_connection_string(hub.service_string)
    query = QuerySpecification(query=f"SELECT * FROM devices WHERE modelId = '{MODEL}'")
    assert [twin.device_id for twin in registry.query_iot_hub(query).items] == ["dev-1"]
