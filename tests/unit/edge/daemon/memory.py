"""The hub's identity service in memory."""

from __future__ import annotations

from dataclasses import replace

from skerry.contract.names import ModuleId
from skerry.edge.daemon.identities import MANAGED_BY, ModuleIdentity
from skerry.errors import AlreadyExists, NotFound, Unavailable


class MemoryIdentityService:
    def __init__(self) -> None:
        self.identities: dict[ModuleId, ModuleIdentity] = {}
        self.reachable = True
        self.generation = 0

    def add(self, name: str, managed_by: str = "") -> ModuleIdentity:
        self.generation += 1
        made = ModuleIdentity(ModuleId(name), str(self.generation), "a2V5", "a2V5Mg==", managed_by)
        self.identities[made.module] = made
        return made

    def rekey(self, name: str, primary: str) -> None:
        self.identities[ModuleId(name)] = replace(self.identities[ModuleId(name)], primary_key=primary)

    async def list(self) -> list[ModuleIdentity]:
        self._check()
        return list(self.identities.values())

    async def get(self, module: ModuleId) -> ModuleIdentity:
        self._check()
        if module not in self.identities:
            raise NotFound(f"no {module}")
        return self.identities[module]

    async def create(self, module: ModuleId, primary: str, secondary: str) -> ModuleIdentity:
        self._check()
        if module in self.identities:
            raise AlreadyExists(f"{module} is there")
        self.generation += 1
        self.identities[module] = ModuleIdentity(module, str(self.generation), primary, secondary, MANAGED_BY)
        return self.identities[module]

    async def delete(self, module: ModuleId, etag: str) -> None:
        self._check()
        if self.identities.pop(module, None) is None:
            raise NotFound(f"no {module}")

    def _check(self) -> None:
        if not self.reachable:
            raise Unavailable("the hub is away")
