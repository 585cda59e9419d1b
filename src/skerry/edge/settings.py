"""What a device's runtime is told: identity file, addresses, engine, caps."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from skerry.errors import InvalidInput

CONFIG_FILE = "config.toml"
CONNECTION_STRING_FILE = "connection-string"
HUB_CA_FILE = "hub-ca.pem"
IDENTITY_CERTIFICATE_FILE = "identity.pem"
IDENTITY_KEY_FILE = "identity.key.pem"
CA_DIRECTORY = "ca"
ENGINES = ("auto", "docker", "process")

# One GiB of messages is days of telemetry and still leaves room on a small SD card.
QUEUE_BYTES_MAX = 1024 * 1024 * 1024
# Long enough for the crashes of a start to show, short enough that nobody drives out to the device.
ROLLBACK_AFTER_S = 300.0
# The edge hub's server certificate lives as long as Azure IoT Edge's quick start's, and is renewed earlier.
CERTIFICATE_VALID_S = 90 * 86_400.0
# As Azure IoT Edge: a week.
KEEP_IMAGES_S = 7 * 86_400.0
# A Unix socket's path has 108 bytes with its final zero (unix(7)).
SOCKET_PATH_BYTES_MAX = 107
# "/workload/" + a module name of usual length + "/workload.sock"
SOCKET_SUFFIX_BYTES = 10 + 32 + 14
# Where the sockets of a data directory with a longer path are; the same for everyone who computes it.
SHORT_RUN_PARENT = Path("/tmp")


@dataclass(frozen=True)
class EdgeSettings:
    """The runtime's settings; ``skerry edge provision`` writes them to ``config.toml`` in ``data_dir``.

    ``hostname`` is the name modules and leaf devices reach this device by. Ports: ``hub_*`` are the hub's;
    the edge hub listens on ``mqtt_port`` and ``https_port`` (0: a free one; −1: off) at ``listen`` or,
    without it, on loopback and on the address at which modules reach this machine. ``container_prefix``
    and ``network`` are for the Docker engine. A deployment with a module that has not run well for
    ``rollback_after_s`` gives way to the last good one; images that nothing needs go after ``keep_images_s``;
    with ``runtime_fallback`` a module that asks for a container runtime that is not here runs without it.
    A module restarted ``restarts_max`` times in a row is given up as Microsoft's agent does at 20 (0: never);
    one of a higher startup order waits up to ``readiness_s`` for the lower ones to be healthy (0: not).
    With ``insecure_registries`` (host:port) plain HTTP or any certificate will do.
    ``registry_map`` names the beginnings of image references and what is used in their place.
    """

    data_dir: Path
    hostname: str = ""
    hub_address: str = ""
    hub_mqtt_port: int = 8883
    hub_https_port: int = 443
    hub_ca: Path | None = None
    listen: str = ""
    mqtt_port: int = 8883
    https_port: int = 443
    metrics_port: int = -1
    engine: str = "auto"
    images_dir: Path | None = None
    container_prefix: str = ""
    network: str = "azure-iot-edge"
    queue_bytes_max: int = QUEUE_BYTES_MAX
    rollback_after_s: float = ROLLBACK_AFTER_S
    keep_images_s: float = KEEP_IMAGES_S
    runtime_fallback: bool = False
    restarts_max: int = 0
    readiness_s: float = 0.0
    insecure_registries: tuple[str, ...] = ()
    registry_map: Mapping[str, str] = field(default_factory=dict)
    upstream: bool = True
    certificate_valid_s: float = CERTIFICATE_VALID_S

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise InvalidInput(
                f"no engine is called {self.engine!r}",
                hint=f"use one of: {', '.join(ENGINES)}",
                field="engine",
            )
        for name in ("hub_mqtt_port", "hub_https_port", "mqtt_port", "https_port", "metrics_port"):
            if not -1 <= (port := getattr(self, name)) <= 65535:
                raise InvalidInput(f"{name} is not a port: {port}", field=name, value=port)
        for name in ("rollback_after_s", "keep_images_s", "certificate_valid_s"):
            if getattr(self, name) <= 0:
                raise InvalidInput(f"{name} must be positive", field=name, value=getattr(self, name))
        for name in ("restarts_max", "readiness_s"):
            if getattr(self, name) < 0:
                raise InvalidInput(f"{name} cannot be negative", field=name, value=getattr(self, name))
        if self.queue_bytes_max <= 0:
            raise InvalidInput("queue_bytes_max must be positive", field="queue_bytes_max")

    @property
    def gateway_name(self) -> str:
        """The name modules see as IOTEDGE_GATEWAYHOSTNAME."""
        return self.hostname or machine_name()

    @property
    def images(self) -> Path:
        return self.images_dir or self.data_dir / "images"

    @property
    def connection_string_file(self) -> Path:
        return self.data_dir / CONNECTION_STRING_FILE

    @property
    def identity_certificate_file(self) -> Path:
        return self.data_dir / IDENTITY_CERTIFICATE_FILE

    @property
    def identity_key_file(self) -> Path:
        return self.data_dir / IDENTITY_KEY_FILE

    @property
    def ca_directory(self) -> Path:
        return self.data_dir / CA_DIRECTORY

    @property
    def database_file(self) -> Path:
        return self.data_dir / "edge.db"

    @property
    def queue_file(self) -> Path:
        return self.data_dir / "queue.db"

    @property
    def management_socket(self) -> Path:
        return self.run_directory / "mgmt.sock"

    @property
    def workload_directory(self) -> Path:
        return self.run_directory / "workload"

    @property
    def run_directory(self) -> Path:
        """Where the sockets are: ``run`` in the data directory unless that path is too long for a socket."""
        usual = self.data_dir / "run"
        if len(os.fsencode(usual)) + SOCKET_SUFFIX_BYTES <= SOCKET_PATH_BYTES_MAX:
            return usual
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        return SHORT_RUN_PARENT / f"skerry-{os.getuid()}-{digest}"


def machine_name() -> str:
    """This machine's host name, in the lower case that certificates and DNS compare in."""
    return socket.gethostname().lower()
