"""The port to whoever holds an identity's connection: asking it, telling it, cutting it off.

The verbs know no sockets and no sessions, only this. In one process ``Connections`` holds them all; with
several, an implementation passes each call on to the process that does (docs/decisions).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from skerry.contract.method import MethodRequest, MethodResponse
from skerry.contract.names import DeviceId, Identity
from skerry.contract.resources import NEVER
from skerry.errors import NotFound


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether an identity is connected, when that last changed and when it was last heard of (ISO, UTC)."""

    connected: bool = False
    updated: str = NEVER
    last_activity: str = NEVER


class Owners(Protocol):
    """Everything a verb may ask of a connection, wherever it ends. That nobody holds it is no fault."""

    async def invoke(self, identity: Identity, request: MethodRequest) -> MethodResponse:
        """The identity's answer; waits ``connect_timeout_s`` until it is connected and listens to methods.

        Raises NotFound (``offline``: nobody holds its connection), TimedOut (no answer, also when the
        connection ended after the question: whether the device acted on it is not known).
        """

    async def tell_desired(self, identity: Identity, patch: Mapping[str, Any], version: int) -> None:
        """Tell of new desired properties; nothing happens while it is not connected. Calls that begin in
        an order are told in that order. Raises Unavailable (its connection ended meanwhile)."""

    def queued(self, device: DeviceId) -> None:
        """Something was put into a device's queue: who holds its connection looks."""

    def is_connected(self, identity: Identity) -> bool:
        """Whether anybody holds its connection now."""

    def connected_devices(self) -> int:
        """How many devices, not modules, are connected."""

    def presence(self, identity: Identity) -> Presence | None:
        """What is known since the hub started; ``None`` when it has not connected since."""

    def presences(self) -> dict[Identity, Presence]:
        """Everyone who has connected since the hub started, as of now."""

    def close(self, identity: Identity, reason: str) -> None:
        """End the identity's connection, if there is one."""

    def forget(self, identity: Identity) -> None:
        """The identity no longer exists: end its connection and drop what is known of it."""


def offline(identity: Identity) -> NotFound:
    """The error of a call to an identity whose connection nobody holds."""
    return NotFound(
        f"{identity.client_id} is not online",
        hint="give connectTimeoutInSeconds to wait for it, or look at its connectionState",
        code_name="DeviceNotOnline",
    )
