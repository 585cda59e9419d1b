"""Gives modules their place: an identity, and a workload socket in a directory of their own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from skerry.clock import Clock
from skerry.contract.names import ModuleId
from skerry.edge.daemon.identities import Identities, ModuleIdentity
from skerry.edge.daemon.workload_api import ModuleList, WorkloadApi
from skerry.errors import SkerryError, Unavailable
from skerry.service.certificates import Authority
from skerry.service.http import HttpServer

log = logging.getLogger(__name__)

CLOSE_GRACE_S = 1.0
SOCKET_FILE = "workload.sock"
# Modules run as users of their own; who may reach the socket is decided by the mount.
SOCKET_MODE = 0o666
# An identity is only given up once its last messages are at the hub.
RELEASE_EVERY_S = 10.0


class WorkloadHost:
    """Serves the workload sockets. ``backlog`` counts the messages of a module the hub does not have yet."""

    def __init__(
        self,
        directory: Path,
        identities: Identities,
        authority: Authority,
        *,
        modules: ModuleList,
        backlog: Callable[[ModuleId], int],
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._identities = identities
        self._authority = authority
        self._modules = modules
        self._backlog = backlog
        self._clock = clock
        self._servers: dict[ModuleId, HttpServer] = {}
        self._leaving: set[ModuleId] = set()
        self._opening = asyncio.Lock()

    async def open(self, module: ModuleId) -> tuple[str, Path]:
        """The module's generation and socket directory; from the cache when the module is known."""
        identity = await self._identity(module)
        async with self._opening:
            directory = self._directory / module
            if module not in self._servers:
                directory.mkdir(parents=True, exist_ok=True)
                api = WorkloadApi(module, self._identities, self._authority, self._modules, self._clock)
                self._servers[module] = await HttpServer.start(
                    api.app(), unix_path=directory / SOCKET_FILE, unix_mode=SOCKET_MODE, websockets="none"
                )
            return identity.generation_id, directory

    def serves(self, module: ModuleId) -> bool:
        """Whether the module has a place here now."""
        return module in self._servers

    async def _identity(self, module: ModuleId) -> ModuleIdentity:
        returning = module in self._leaving
        self._leaving.discard(module)
        if returning:
            # The hub deletes the identities of modules it takes out of a deployment, and makes new ones.
            try:
                return await self._identities.renew(module)
            except Unavailable as error:
                log.info("module %s returns with the identity it had: %s", module, error)
        return await self._identities.ensure(module)

    async def release(self, module: ModuleId) -> None:
        """Close the module's socket; its identity follows when nothing of it is left to send."""
        if (server := self._servers.pop(module, None)) is not None:
            await server.close(CLOSE_GRACE_S)
        with contextlib.suppress(OSError):
            (self._directory / module).rmdir()
        self._leaving.add(module)

    async def run(self) -> None:
        """Give up the identities of modules that left."""
        while True:
            for module in sorted(self._leaving):
                if self._backlog(module):
                    continue
                try:
                    await self._identities.remove(module)
                    self._leaving.discard(module)
                except SkerryError as error:
                    log.debug("identity of module %s stays for now: %s", module, error)
            await self._clock.sleep(RELEASE_EVERY_S)

    async def close(self) -> None:
        """Close all sockets."""
        servers = list(self._servers.values())
        self._servers.clear()
        await asyncio.gather(*(server.close(CLOSE_GRACE_S) for server in servers))
