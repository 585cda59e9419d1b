"""What a process module can be given of a create-options document, and what is reported as missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from skerry.edge.engine.create_options import host_config

Json = Any

KEYS = frozenset(
    [
        "Env",
        "Cmd",
        "Entrypoint",
        "WorkingDir",
        "Labels",
        "ExposedPorts",
        "HostConfig",
        "User",
        "Healthcheck",
        "Hostname",
        "StopSignal",
        "StopTimeout",
        "NetworkingConfig",
    ]
)
HOST_KEYS = frozenset(
    [
        "Binds",
        "Mounts",
        "PortBindings",
        "LogConfig",
        "NetworkMode",
        "ExtraHosts",
        "Ulimits",
        "CapDrop",
        "ReadonlyRootfs",
    ]
)
# Only inside a sandbox.
SANDBOX_KEYS = frozenset(["User", "Hostname"])
SANDBOX_HOST_KEYS = frozenset(["Devices", "Tmpfs", "ReadonlyRootfs", "CapDrop"])
# Only where this user may make control groups.
GROUP_KEYS = frozenset(["Memory", "NanoCpus", "CpuQuota", "CpuPeriod", "PidsLimit"])
# Values that ask for what a process has anyway.
HARMLESS: Mapping[str, Callable[[Json], bool]] = {
    "IpcMode": lambda value: value in ("private", "none"),
    "SecurityOpt": lambda value: all(str(one).startswith("no-new-privileges") for one in value),
    "AutoRemove": lambda value: True,
    "Runtime": lambda value: value == "runc",
    "Init": lambda value: True,
    "Isolation": lambda value: value == "default",
}
NETWORKS = (None, "", "default", "host", "bridge", "azure-iot-edge")


@dataclass(frozen=True, slots=True)
class Abilities:
    """What this machine lets the process engine do."""

    sandbox: bool
    groups: bool

    def cannot(self, create_options: Mapping[str, Json]) -> list[str]:
        """The paths that cannot be given, sorted; what asks for nothing is not among them."""
        host = host_config(create_options)
        missing = [key for key, value in create_options.items() if value and not self._gives(key)]
        missing += [
            f"HostConfig.{key}"
            for key, value in host.items()
            if value and not self._gives_host(key) and not HARMLESS.get(key, _never)(value)
        ]
        if host.get("NetworkMode") not in NETWORKS and not (self.sandbox and host["NetworkMode"] == "none"):
            missing.append("HostConfig.NetworkMode")
        return sorted(missing + _moved_ports(host))

    def _gives(self, key: str) -> bool:
        return key in KEYS and (self.sandbox or key not in SANDBOX_KEYS)

    def _gives_host(self, key: str) -> bool:
        if key in GROUP_KEYS:
            return self.groups
        if key in SANDBOX_HOST_KEYS:
            return self.sandbox
        return key in HOST_KEYS


def _moved_ports(host: Mapping[str, Json]) -> list[str]:
    """Processes share the machine's network: a port inside is the same port outside."""
    return [
        f"HostConfig.PortBindings.{port}"
        for port, bindings in (host.get("PortBindings") or {}).items()
        if any(
            str((one or {}).get("HostPort") or port.split("/")[0]) != port.split("/")[0]
            for one in bindings or []
        )
    ]


def _never(value: Json) -> bool:
    return False
