"""What a module gets from the runtime: its environment, labels, mount and host names (contract.md §3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skerry.contract.manifest import ModuleSpec
from skerry.edge.agent.ports import Prepared
from skerry.edge.agent.registry_map import mapped
from skerry.edge.engine.port import (
    LABEL_DEVICE,
    LABEL_ORIGINAL_IMAGE,
    LABEL_OWNER,
    OWNER,
    Mount,
    RunSpec,
)

WORKLOAD_DIRECTORY = "/var/run/iotedge"
WORKLOAD_URI = f"unix://{WORKLOAD_DIRECTORY}/workload.sock"
WORKLOAD_API_VERSION = "2019-01-30"
MQTT_PORT = 8883
HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is the same for all modules of a device; ``registry_map`` says which images stand in for which."""

    device: str
    hub: str
    gateway_name: str
    gateway_address: str
    mqtt_port: int = MQTT_PORT
    https_port: int = HTTPS_PORT
    registry_map: Mapping[str, str] = field(default_factory=dict)

    def image(self, reference: str) -> str:
        """The image used on this device for the manifest's ``reference``."""
        return mapped(reference, self.registry_map)


def run_spec(
    spec: ModuleSpec, prepared: Prepared, around: Surroundings, logging: Mapping[str, Any] | None = None
) -> RunSpec:
    """The module as the engine gets it, labelled with its digest.

    ``logging`` is the manifest's ``loggingOptions``: the LogConfig of modules that have none of their own.
    """
    image = around.image(spec.image)
    env = {
        **spec.env,
        "IOTEDGE_WORKLOADURI": WORKLOAD_URI,
        "IOTEDGE_DEVICEID": around.device,
        "IOTEDGE_MODULEID": spec.name,
        "IOTEDGE_MODULEGENERATIONID": prepared.generation_id,
        "IOTEDGE_IOTHUBHOSTNAME": around.hub,
        "IOTEDGE_GATEWAYHOSTNAME": around.gateway_name,
        "IOTEDGE_APIVERSION": WORKLOAD_API_VERSION,
        "IOTEDGE_AUTHSCHEME": "sasToken",
    }
    # Ours: Microsoft's SDKs know only the standard ports, our modules can use others.
    if around.mqtt_port != MQTT_PORT:
        env["SKERRY_GATEWAY_MQTT_PORT"] = str(around.mqtt_port)
    if around.https_port != HTTPS_PORT:
        env["SKERRY_GATEWAY_HTTPS_PORT"] = str(around.https_port)
    return RunSpec(
        name=spec.name,
        image=image,
        env=env,
        create_options=_with_logging(spec.create_options, logging),
        mounts=(Mount(str(prepared.socket_directory), WORKLOAD_DIRECTORY),),
        labels={LABEL_OWNER: OWNER, LABEL_ORIGINAL_IMAGE: image, LABEL_DEVICE: around.device},
        hosts={around.gateway_name: around.gateway_address} if around.gateway_address else {},
    ).labelled()


def _with_logging(options: Mapping[str, Any], logging: Mapping[str, Any] | None) -> Mapping[str, Any]:
    host = options.get("HostConfig") or {}
    if not logging or not isinstance(host, Mapping) or host.get("LogConfig"):
        return options
    return {**options, "HostConfig": {**host, "LogConfig": dict(logging)}}
