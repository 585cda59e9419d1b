"""What a hub allows: as much as an IoT Hub of Azure would (one unit of S1), or as a hub of your own may."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


class Operation(enum.Enum):
    """The kinds of requests that Azure counts apart."""

    CONNECT = "connect"
    TELEMETRY = "telemetry"
    COMMAND_SEND = "command send"
    COMMAND_RECEIVE = "command receive"
    TWIN_READ = "twin read"
    TWIN_WRITE = "twin write"
    METHOD = "method"
    REGISTRY = "registry"
    QUERY = "query"
    CONFIGURATION = "configuration"
    JOB = "job"
    UPLOAD = "upload"


@dataclass(frozen=True, slots=True)
class Rate:
    """So many a second on average, at most ``burst`` at once."""

    per_s: float
    burst: int


@dataclass(frozen=True, slots=True)
class Limits:
    """``rates`` hold for each caller by itself: a device, a module, a policy. Sizes are in bytes of JSON."""

    name: str
    tags_bytes: int
    section_bytes: int
    modules_per_device: int
    rates: Mapping[Operation, Rate]


# Azure's tables of quotas and throttles; what it counts per minute may come at once here as there. Modules:
# its fifty, and the two of the system.
AZURE = Limits(
    "azure",
    tags_bytes=8 * 1024,
    section_bytes=32 * 1024,
    modules_per_device=52,
    rates=MappingProxyType(
        {
            Operation.CONNECT: Rate(100, 100),
            Operation.TELEMETRY: Rate(100, 100),
            Operation.COMMAND_SEND: Rate(100 / 60, 100),
            Operation.COMMAND_RECEIVE: Rate(1000 / 60, 1000),
            Operation.TWIN_READ: Rate(100, 100),
            Operation.TWIN_WRITE: Rate(50, 50),
            Operation.METHOD: Rate(40, 40),
            Operation.REGISTRY: Rate(100 / 60, 100),
            Operation.QUERY: Rate(20 / 60, 20),
            Operation.CONFIGURATION: Rate(20 / 60, 20),
            Operation.JOB: Rate(100 / 60, 100),
            Operation.UPLOAD: Rate(100 / 60, 100),
        }
    ),
)
# A caller that runs wild is held back, one that works is not. Telemetry needs no rate: a message is
# acknowledged when it is on the disk, and a device may have only so many on the way.
RELAXED = Limits(
    "relaxed",
    tags_bytes=128 * 1024,
    section_bytes=128 * 1024,
    modules_per_device=102,
    rates=MappingProxyType(
        {
            Operation.CONNECT: Rate(10, 50),
            Operation.COMMAND_SEND: Rate(1_000, 10_000),
            Operation.COMMAND_RECEIVE: Rate(500, 5_000),
            Operation.TWIN_READ: Rate(2_000, 20_000),
            Operation.TWIN_WRITE: Rate(2_000, 20_000),
            Operation.METHOD: Rate(1_000, 10_000),
            Operation.REGISTRY: Rate(2_000, 50_000),
            Operation.QUERY: Rate(200, 2_000),
            Operation.CONFIGURATION: Rate(50, 1_000),
            Operation.JOB: Rate(200, 2_000),
            Operation.UPLOAD: Rate(50, 500),
        }
    ),
)
PROFILES: Mapping[str, Limits] = MappingProxyType({limits.name: limits for limits in (AZURE, RELAXED)})

# The first that fits; what is not here is not limited.
_BY_PATH: tuple[tuple[str, str, Operation], ...] = (
    ("POST", r"/devices/[^/]+/messages/events", Operation.TELEMETRY),
    (".*", r"/devices/[^/]+/messages/devicebound.*", Operation.COMMAND_RECEIVE),
    ("POST", r"/devices/[^/]+/files(/.*)?", Operation.UPLOAD),
    ("POST", r"/devices/query", Operation.QUERY),
    ("POST", r"/devices/[^/]+/applyConfigurationContent", Operation.CONFIGURATION),
    (".*", r"/configurations(/.*)?", Operation.CONFIGURATION),
    (".*", r"/(devices|statistics)(/.*)?", Operation.REGISTRY),
    ("POST", r"/(twins|digitaltwins)/.*/(methods|commands/.*)", Operation.METHOD),
    ("GET", r"/(twins|digitaltwins)/.*", Operation.TWIN_READ),
    (".*", r"/(twins|digitaltwins)/.*", Operation.TWIN_WRITE),
    (".*", r"/jobs(/.*)?", Operation.JOB),
)
_COMPILED = tuple((re.compile(method), re.compile(path), kind) for method, path, kind in _BY_PATH)


def operation(method: str, path: str) -> Operation | None:
    """What a request of the service or device API is counted as."""
    for methods, paths, kind in _COMPILED:
        if methods.fullmatch(method) and paths.fullmatch(path):
            return kind
    return None
