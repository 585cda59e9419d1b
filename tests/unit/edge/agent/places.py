"""Small real stand-ins for what surrounds the agent: a twin in memory, a host that gives places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from skerry.contract.twin import merge
from skerry.edge.agent.ports import Prepared
from skerry.errors import SkerryError


class MemoryTwin:
    def __init__(self, desired: dict[str, Any] | None = None) -> None:
        self._desired = desired
        self._reported: dict[str, Any] = {}
        self._listeners: list[Callable[[], None]] = []
        self.patches: list[dict[str, Any]] = []
        self.refuses: SkerryError | None = None

    def wants(self, desired: dict[str, Any], version: int) -> None:
        self._desired = {**desired, "$version": version}
        for listener in self._listeners:
            listener()

    def desired(self) -> dict[str, Any] | None:
        return self._desired

    def reported(self) -> dict[str, Any]:
        return self._reported

    async def report(self, patch: dict[str, Any]) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.patches.append(patch)
        self._reported = merge(self._reported, patch)

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)


class MemoryHost:
    def __init__(self) -> None:
        self.refuses: SkerryError | None = None
        self.released: list[str] = []

    async def prepare(self, module: str) -> Prepared:
        if self.refuses is not None:
            raise self.refuses
        return Prepared("1", Path("/run") / module)

    async def release(self, module: str) -> None:
        self.released.append(module)
