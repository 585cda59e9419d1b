"""What the agent needs from the rest of the runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Document = dict[str, Any]


class AgentTwin(Protocol):
    """The ``$edgeAgent`` twin, from the device's own store."""

    def desired(self) -> Document | None:
        """The desired properties with ``$version``; None before the first contact with the hub."""

    def reported(self) -> Document:
        """What was reported so far."""

    async def report(self, patch: Document) -> None:
        """Merge into the reported properties; durable, sent when the hub is there."""

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` when the desired properties change; returns how to stop that."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A module's place on this device: its identity's generation, the directory of its workload socket."""

    generation_id: str
    socket_directory: Path


class ModuleHost(Protocol):
    """The daemon, which gives modules an identity and a workload socket."""

    async def prepare(self, module: str) -> Prepared:
        """Idempotent; needs the hub for a module never seen before. Raises Unavailable, NotAllowed …"""

    async def release(self, module: str) -> None:
        """The module is no longer wanted here: close its socket, give its identity up when that is safe."""
