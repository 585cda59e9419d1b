"""What a hub can be told before it starts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from skerry.contract.hub_event import Source
from skerry.contract.hub_limits import PROFILES
from skerry.errors import InvalidInput

HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
# The ports Microsoft's SDKs insist on (contract §0.1).
MQTT_PORT, AMQP_PORT = 8883, 5671
# The hub's own databases go on growing when images have filled the disk.
CONTAINERS_FREE_BYTES_MIN = 1 << 30
# Below this an event log would not hold even a few of the largest messages.
LEAST_BYTES = 1024 * 1024
LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class HubSettings:
    """Where a hub keeps its data, what it is called and where it listens; a port of 0 picks a free one.

    ``host_name`` goes into connection strings and the certificate; ``extra_names`` are further DNS names or
    IP addresses clients may use. Telemetry older than ``telemetry_keep_days`` or beyond
    ``telemetry_keep_messages`` or ``telemetry_keep_bytes`` is dropped, oldest first. Files that devices
    upload may take up ``uploads_keep_bytes``; no new upload begins beyond. The container registry takes no
    push that would leave less than ``containers_free_bytes_min`` on the disk.

    ``profile`` says what the hub allows: ``azure`` as much as an IoT Hub of one unit would, ``relaxed`` more.
    ``event_sources`` are the hub's own events that go into the event log beside what devices send; a new
    IoT Hub has none there either.

    AMQP with TLS (``amqp_port``) listens at its standard port when MQTT does, else not at all: Microsoft's
    clients know no other port, and a second hub on a machine need not fight for it. -1 turns it off.
    ``amqp_plain_port`` is AMQP without TLS, for clients in the "development emulator" mode of azure-eventhub
    (which use 5672); never on unless given. Raises InvalidInput naming the setting.
    """

    data_dir: Path
    host_name: str = "localhost"
    bind: str = "127.0.0.1"
    https_port: int = 443
    mqtt_port: int = MQTT_PORT
    amqp_port: int | None = None
    amqp_plain_port: int | None = None
    extra_names: tuple[str, ...] = ()
    dashboard: bool = True
    profile: str = "relaxed"
    event_sources: tuple[Source, ...] = ()
    telemetry_keep_days: float = 7.0
    telemetry_keep_messages: int = 1_000_000
    telemetry_keep_bytes: int = 10 * 1024**3
    uploads_keep_bytes: int = 10 * 1024**3
    containers_free_bytes_min: int = CONTAINERS_FREE_BYTES_MIN
    certificate: Path | None = None
    certificate_key: Path | None = None
    log_level: str = "info"
    log_json: bool = False

    def __post_init__(self) -> None:
        for name in (self.host_name, *self.extra_names):
            if not HOST_NAME.fullmatch(name):
                raise _wrong("host_name", name, "a DNS name or an IPv4 address")
        for field, port in (("https_port", self.https_port), ("mqtt_port", self.mqtt_port)):
            if not 0 <= port <= 65535:
                raise _wrong(field, port, "a port from 0 to 65535")
        for field, maybe in (("amqp_port", self.amqp_port), ("amqp_plain_port", self.amqp_plain_port)):
            if maybe is not None and not -1 <= maybe <= 65535:
                raise _wrong(field, maybe, "a port from 0 to 65535, or -1 for none")
        if self.profile not in PROFILES:
            raise _wrong("profile", self.profile, f"one of {', '.join(PROFILES)}")
        if (self.certificate is None) != (self.certificate_key is None):
            raise _wrong("certificate", self.certificate, "certificate and certificate_key together")
        if self.log_level not in LOG_LEVELS:
            raise _wrong("log_level", self.log_level, f"one of {', '.join(LOG_LEVELS)}")
        if self.containers_free_bytes_min < 0:
            raise _wrong("containers_free_bytes_min", self.containers_free_bytes_min, "0 or more bytes")
        if self.telemetry_keep_days <= 0:
            raise _wrong("telemetry_keep_days", self.telemetry_keep_days, "more than 0")
        if self.telemetry_keep_messages < 1:
            raise _wrong("telemetry_keep_messages", self.telemetry_keep_messages, "at least 1")
        if self.telemetry_keep_bytes < LEAST_BYTES:
            raise _wrong("telemetry_keep_bytes", self.telemetry_keep_bytes, f"at least {LEAST_BYTES}")
        if self.uploads_keep_bytes < 0:
            raise _wrong("uploads_keep_bytes", self.uploads_keep_bytes, "0 or more")

    @property
    def amqp_listens(self) -> int | None:
        """The port for AMQP with TLS, ``None`` for no listener."""
        if self.amqp_port is None:
            return AMQP_PORT if self.mqtt_port == MQTT_PORT else None
        return None if self.amqp_port == -1 else self.amqp_port

    @property
    def amqp_plain_listens(self) -> int | None:
        """The port for AMQP without TLS, ``None`` for no listener."""
        return None if self.amqp_plain_port in (None, -1) else self.amqp_plain_port

    @property
    def names(self) -> tuple[str, ...]:
        """Every name and address a client may know this hub by, the host name first."""
        return tuple(dict.fromkeys((self.host_name, "localhost", "127.0.0.1", *self.extra_names)))


def _wrong(field: str, value: object, expected: str) -> InvalidInput:
    return InvalidInput(
        f"hub setting {field} is {value!r}", hint=f"give {expected}", field=field, value=value
    )
