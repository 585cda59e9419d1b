"""What a module gets from the runtime: its environment, labels, mount and host names (contract.md §3.1)."""

from __future__ import annotations

from dataclasses import dataclass

from skerry.contract.manifest import ModuleSpec
from skerry.edge.agent.ports import Prepared
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
    """What is the same for all modules of a device."""

    device: str
    hub: str
    gateway_name: str
    gateway_address: str
    mqtt_port: int = MQTT_PORT
    https_port: int = HTTPS_PORT


def run_spec(spec: ModuleSpec, prepared: Prepared, around: Surroundings) -> RunSpec:
    """The module as the engine gets it, labelled with its digest."""
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
        image=spec.image,
        env=env,
        create_options=spec.create_options,
        mounts=(Mount(str(prepared.socket_directory), WORKLOAD_DIRECTORY),),
        labels={LABEL_OWNER: OWNER, LABEL_ORIGINAL_IMAGE: spec.image, LABEL_DEVICE: around.device},
        hosts={around.gateway_name: around.gateway_address} if around.gateway_address else {},
    ).labelled()
