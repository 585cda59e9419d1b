"""A hub's event as a CloudEvent 1.0, named as Azure Event Grid names those of an IoT Hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from skerry.contract.hub_event import MESSAGE_SOURCE, TELEMETRY
from skerry.contract.names import Identity

BATCH_TYPE = "application/cloudevents-batch+json; charset=utf-8"
TELEMETRY_TYPE = "Microsoft.Devices.DeviceTelemetry"
# By opType; for modules, which Event Grid does not know, alike.
_TYPES = {
    "createDeviceIdentity": "Microsoft.Devices.DeviceCreated",
    "deleteDeviceIdentity": "Microsoft.Devices.DeviceDeleted",
    "deviceConnected": "Microsoft.Devices.DeviceConnected",
    "deviceDisconnected": "Microsoft.Devices.DeviceDisconnected",
    "createModuleIdentity": "Skerry.ModuleCreated",
    "deleteModuleIdentity": "Skerry.ModuleDeleted",
    "moduleConnected": "Skerry.ModuleConnected",
    "moduleDisconnected": "Skerry.ModuleDisconnected",
    "updateTwin": "Skerry.TwinChanged",
    "replaceTwin": "Skerry.TwinChanged",
}


def cloud_event(
    sequence: int, time: str, sender: Identity, data: Mapping[str, Any], hub_name: str
) -> dict[str, Any]:
    """``data`` has ``properties``, ``systemProperties`` and ``body``; ``id`` is the same at every attempt."""
    system, properties = data["systemProperties"], data["properties"]
    telemetry = system.get(MESSAGE_SOURCE, TELEMETRY) == TELEMETRY
    kind = TELEMETRY_TYPE if telemetry else _TYPES.get(properties.get("opType"), "Skerry.HubEvent")
    module = "" if sender.module is None else f"/modules/{quote(str(sender.module), safe='')}"
    return {
        "specversion": "1.0",
        "id": f"{hub_name}-{sequence}",
        "source": f"/iothubs/{hub_name}",
        "type": kind,
        "subject": f"devices/{quote(str(sender.device), safe='')}{module}",
        "time": time,
        "datacontenttype": "application/json",
        "data": dict(data),
    }
