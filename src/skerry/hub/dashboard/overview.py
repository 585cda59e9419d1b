"""What the dashboard shows, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skerry.contract.names import AGENT_MODULE, DeviceId, Identity, ModuleId
from skerry.errors import NotFound
from skerry.hub.verbs import Verbs

# A page for a person; more devices are for the API.
DEVICES_SHOWN = 100
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ModuleView:
    """One module: what the agent reports of it and whether it is connected itself."""

    name: str
    runtime_status: str
    detail: str
    image: str
    connected: bool


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One device with its modules by name."""

    name: str
    connected: bool
    enabled: bool
    iot_edge: bool
    last_activity: str
    modules: Sequence[ModuleView]


async def overview(verbs: Verbs) -> Sequence[DeviceView]:
    """The first hundred devices by name."""
    return [
        DeviceView(
            name=str(device.device_id),
            connected=verbs.owners.is_connected(device.identity),
            enabled=device.status == "enabled",
            iot_edge=device.iot_edge,
            last_activity=device.last_activity_time,
            modules=_modules(verbs, device.device_id),
        )
        for device in await verbs.registry.devices(DEVICES_SHOWN)
    ]


def _modules(verbs: Verbs, device: DeviceId) -> Sequence[ModuleView]:
    try:
        reported = _reported_modules(verbs, device)
        records = verbs.registry.modules(device)
    except NotFound:
        # It was deleted between the list and here.
        return []
    return [
        _module(
            str(record.module_id),
            reported.get(str(record.module_id).removeprefix("$"), {}),
            connected=verbs.owners.is_connected(record.identity),
        )
        for record in records
    ]


def _reported_modules(verbs: Verbs, device: DeviceId) -> Mapping[str, Any]:
    """What ``$edgeAgent`` reports by module name, system modules without their ``$`` (contract §6.6)."""
    try:
        reported = verbs.twins.get(Identity(device, ModuleId(AGENT_MODULE))).reported.values
    except NotFound:
        return {}
    return {**_object(reported.get("modules")), **_object(reported.get("systemModules"))}


def _module(name: str, reported: Any, *, connected: bool) -> ModuleView:
    state = _object(reported)
    return ModuleView(
        name=name,
        runtime_status=str(state.get("runtimeStatus", UNKNOWN)),
        detail=str(state.get("statusDescription", "")),
        image=str(_object(state.get("settings")).get("image", "")),
        connected=connected,
    )


def _object(value: Any) -> Mapping[str, Any]:
    """A device may report anything; what is not an object shows as nothing."""
    return value if isinstance(value, dict) else {}
