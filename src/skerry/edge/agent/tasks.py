"""Work that a direct method begins and that is asked about later: uploads (contract.md §6.8)."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from skerry.errors import NotFound, SkerryError, Throttled

log = logging.getLogger(__name__)

Status = Literal["NotStarted", "Running", "Completed", "Failed", "Unknown"]
# Each holds the logs it uploads in memory.
RUNNING_MAX = 4
# Results that nobody asked for yet.
REMEMBERED_MAX = 100


@dataclass(frozen=True, slots=True)
class Task:
    """How far a task is."""

    status: Status
    message: str
    correlation_id: str

    def to_json(self) -> dict[str, Any]:
        return {"status": self.status, "message": self.message, "correlationId": self.correlation_id}


class Tasks:
    """Runs tasks beside everything else and remembers their ends."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._known: OrderedDict[str, Task] = OrderedDict()
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, work: Callable[[], Awaitable[None]]) -> Task:
        """Start ``work``. Throttled when too many are under way."""
        if len(self._running) >= RUNNING_MAX:
            raise Throttled(f"{RUNNING_MAX} uploads are under way", hint="wait until one has ended")
        task = Task("Running", "", self._new_id())
        self._remember(task)
        running = asyncio.create_task(self._run(task.correlation_id, work))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return task

    def of(self, correlation_id: str) -> Task:
        """NotFound."""
        if (task := self._known.get(correlation_id)) is None:
            raise NotFound(f"there is no task {correlation_id}", correlation_id=correlation_id)
        return task

    async def close(self) -> None:
        """End what is under way."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, correlation_id: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except SkerryError as error:
            log.warning("task %s failed: %s", correlation_id, error)
            self._remember(Task("Failed", str(error), correlation_id))
        else:
            self._remember(Task("Completed", "", correlation_id))

    def _remember(self, task: Task) -> None:
        self._known[task.correlation_id] = task
        while len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)
