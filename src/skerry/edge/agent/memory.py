"""What the agent remembers of the modules, over its own restarts and the machine's."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from skerry.edge.agent.restart import settled
from skerry.edge.agent.state import NEVER, History, Image, Remove, Start, Step, Stop, Tally, Wanted
from skerry.edge.engine.port import Observed
from skerry.errors import SkerryError, StorageFull
from skerry.store.documents import Documents

log = logging.getLogger(__name__)

HISTORY = "history"


class Memory:
    """Restart counts and debts, on disk when they change; refusals, in memory."""

    def __init__(self, documents: Documents, boot_id: str) -> None:
        self._documents = documents
        self._boot_id = boot_id
        self._booted = False
        self._restarts: dict[str, Tally] = {}
        self._owed: set[str] = set()
        self._saved: Any = None
        self.failures: dict[str, Tally] = {}

    def load(self) -> None:
        """What the last run of the agent knew."""
        document = self._documents.get(HISTORY) or {}
        self._saved = document
        self._restarts = {
            name: Tally(count, at) for name, (count, at) in document.get("restarts", {}).items()
        }
        self._owed = set(document.get("owed", ()))
        self._booted = document.get("bootId") not in (None, self._boot_id)

    def history(self, images: Mapping[str, Image]) -> History:
        """For the planner."""
        return History(dict(self._restarts), dict(self.failures), dict(images), frozenset(self._owed))

    async def observe(
        self, observed: Mapping[str, Observed], wanted: Mapping[str, Wanted], now: float
    ) -> None:
        """Forget restarts of healthy modules; after a start of the machine, owe what it had stopped."""
        for name, tally in list(self._restarts.items()):
            if name in observed and settled(tally, observed[name], now) is NEVER:
                del self._restarts[name]
        if self._booted and wanted:
            self._owed |= {
                name
                for name, module in wanted.items()
                if name in observed
                and observed[name].status == "exited"
                and module.spec.restart_policy != "never"
            }
            self._booted = False
        await self._save()

    async def owe(self, module: str) -> None:
        """The module ends because it is told to; it is to be started whatever its policy."""
        self._owed.add(module)
        await self._save()

    def failed(self, module: str, now: float, error: SkerryError) -> None:
        """The module could not be made or started."""
        tally = self.failures.get(module, NEVER)
        self.failures[module] = tally.again(now, str(error), type(error).__name__)

    def retry_now(self) -> None:
        """Another deployment: what was refused before may well work now."""
        self.failures.clear()

    def succeeded(self, module: str) -> None:
        self.failures.pop(module, None)

    async def did(self, steps: Iterable[Step], failed: Iterable[str], now: float) -> None:
        """Take note of steps done."""
        refused = set(failed)
        for step in steps:
            match step:
                case Start():
                    self._owed.discard(step.module)
                    if step.restart:
                        self._restarts[step.module] = self._restarts.get(step.module, NEVER).again(now, "")
                    if step.module not in refused:
                        self.succeeded(step.module)
                case Stop(reason="wanted stopped"):
                    self._owed.add(step.module)
                case Remove():
                    self._restarts.pop(step.module, None)
                    self._owed.discard(step.module)
                case _:
                    pass
        await self._save()

    async def _save(self) -> None:
        document = {
            "bootId": self._boot_id,
            "restarts": {name: [tally.count, tally.at] for name, tally in sorted(self._restarts.items())},
            "owed": sorted(self._owed),
        }
        if document == self._saved:
            return
        try:
            await self._documents.put(HISTORY, document)
            self._saved = document
        except StorageFull as error:
            # Modules are looked after on a full disk too; the next look tries to write again.
            log.warning("what happened to the modules is not on disk: %s", error)
