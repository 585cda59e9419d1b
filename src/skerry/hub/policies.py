"""The hub's shared access policies: who a service is by its key, and what it may do (contract §1.2)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from skerry.hub.fresh import fresh_key
from skerry.store.storage import Transaction


class Right(enum.Enum):
    """One thing a policy may allow."""

    REGISTRY_READ = "registryRead"
    REGISTRY_WRITE = "registryWrite"
    SERVICE_CONNECT = "serviceConnect"
    DEVICE_CONNECT = "deviceConnect"
    ENROLLMENT_READ = "enrollmentRead"
    ENROLLMENT_WRITE = "enrollmentWrite"


BUILT_IN: Mapping[str, frozenset[Right]] = {
    "iothubowner": frozenset(Right),
    "service": frozenset({Right.SERVICE_CONNECT}),
    "device": frozenset({Right.DEVICE_CONNECT}),
    "registryRead": frozenset({Right.REGISTRY_READ}),
    "registryReadWrite": frozenset({Right.REGISTRY_READ, Right.REGISTRY_WRITE}),
    # The provisioning service's owner, by Azure's name; it is a service of its own there.
    "provisioningserviceowner": frozenset({Right.ENROLLMENT_READ, Right.ENROLLMENT_WRITE}),
}


@dataclass(frozen=True, slots=True)
class Policy:
    """A named pair of keys with rights; the keys never show in its repr."""

    name: str
    keys: tuple[str, str] = field(repr=False)
    rights: frozenset[Right]


def create_missing(connection: Transaction) -> None:
    """Give every built-in policy that has no keys yet a fresh pair."""
    for name in BUILT_IN:
        connection.execute(
            "INSERT OR IGNORE INTO policies VALUES (?, ?, ?)", (name, fresh_key(), fresh_key())
        )


def load(connection: Transaction) -> dict[str, Policy]:
    """The policies of this hub by name."""
    rows = connection.execute("SELECT name, primary_key, secondary_key FROM policies")
    return {
        name: Policy(name, (primary, secondary), BUILT_IN[name])
        for name, primary, secondary in rows
        if name in BUILT_IN
    }
