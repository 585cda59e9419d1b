"""The hub's own events read by ``azure-eventhub``, caused by Microsoft's device and service SDKs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from azure.eventhub import EventHubConsumerClient
from azure.iot.device import IoTHubDeviceClient
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import Twin, TwinProperties

from skerry.contract.credentials import ConnectionString
from skerry.contract.hub_event import Source
from tests.support.namespace import HUB_NAME
from tests.support.stack import eventually, running_hub
from tests.system.sdk.clients import SDK_MARKS

pytestmark = SDK_MARKS


def test_lifecycle_connection_and_twin_events_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_hub(tmp_path / "hub", event_sources=tuple(Source)) as hub:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(hub.ca_file))
        registry = IoTHubRegistryManager.from_connection_string(hub.service_string)
        registry.create_device_with_sas("dev-1", "", "", "enabled")
        keys = registry.get_device("dev-1").authentication.symmetric_key
        client = IoTHubDeviceClient.create_from_connection_string(
            f"HostName={HUB_NAME};DeviceId=dev-1;SharedAccessKey={keys.primary_key}",
            server_verification_cert=hub.ca_file.read_text(),
        )
        client.connect()
        client.patch_twin_reported_properties({"led": {"on": True, "gone": None}})
        desired = Twin(properties=TwinProperties(desired={"interval": 5}))
        registry.update_twin("dev-1", desired, "*")
        client.shutdown()
        eventually(lambda: registry.get_device("dev-1").connection_state == "Disconnected")
        registry.delete_device("dev-1")
        got: list[Any] = []
        policy = ConnectionString.parse(hub.service_string)
        reader = EventHubConsumerClient.from_connection_string(
            f"Endpoint=sb://{HUB_NAME}/;SharedAccessKeyName={policy.shared_access_key_name};"
            f"SharedAccessKey={policy.shared_access_key};EntityPath=hub",
            consumer_group="$Default",
            connection_verify=str(hub.ca_file),
        )

        def on_event(_: Any, event: Any) -> None:
            got.append(event)

        thread = threading.Thread(target=reader.receive, args=(on_event,), kwargs={"starting_position": "-1"})
        thread.start()
        try:
            eventually(lambda: len(got) == 6)
        finally:
            reader.close()
            thread.join()
    kinds = [event.properties[b"opType"].decode() for event in got]
    assert kinds == [
        "createDeviceIdentity",
        "deviceConnected",
        "updateTwin",
        "updateTwin",
        "deviceDisconnected",
        "deleteDeviceIdentity",
    ]
    sources = {event.system_properties[b"iothub-message-source"].decode() for event in got}
    assert sources == {source.value for source in Source}
    reported, wanted = (event.body_as_json() for event in got[2:4])
    assert reported["properties"]["reported"] == {"led": {"on": True, "gone": None}, "$version": 2}
    assert wanted["properties"]["desired"] == {"interval": 5, "$version": 2}
    assert {event.properties[b"deviceId"] for event in got} == {b"dev-1"}
