"""Long work that must not hold up the look after the modules: pulls, identities."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Background:
    """Named tasks, at most one of a name at a time; ``finished`` is called after each."""

    def __init__(self, finished: Callable[[], None]) -> None:
        self._finished = finished
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Begin ``work``, unless it is under way. It handles its own errors."""
        if name not in self._tasks:
            self._tasks[name] = asyncio.create_task(self._run(name, work), name=name)

    async def close(self) -> None:
        """Cancel what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        finally:
            del self._tasks[name]
            self._finished()
