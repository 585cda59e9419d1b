"""A process's life: it runs until a signal, and keeps its background tasks alive."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType

from skerry.clock import Clock
from skerry.errors import AlreadyExists

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def run_until_signal(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run ``main``; SIGINT or SIGTERM sets its event, on which it should end; a second signal cancels it.

    Returns when ``main`` does and passes its errors on.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    work = asyncio.ensure_future(main(stop))

    def signalled(number: signal.Signals) -> None:
        log.info("%s: %s", number.name, "ending at once" if stop.is_set() else "ending")
        if stop.is_set():
            work.cancel()
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, signalled, number)
    try:
        await work
    except asyncio.CancelledError:
        # Our own second signal is an orderly end; a cancellation from outside is not ours to keep.
        if not stop.is_set():
            raise
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
        if not work.done():
            work.cancel()


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before restart ``n``: ``first_s`` doubled each time up to ``longest_s``."""

    first_s: float = 0.1
    longest_s: float = 30.0

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row (at least 1)."""
        return min(self.first_s * 2.0 ** min(failures - 1, 32), self.longest_s)


class Supervisor:
    """Named background tasks; one that fails is logged with its traceback and started again.

    A task that returns is finished. One that ran longer than the longest back-off before it failed
    starts anew with the shortest. As an async context it stops them all at the end.
    """

    def __init__(self, clock: Clock, backoff: Backoff | None = None) -> None:
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._restarts: dict[str, int] = {}

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work()`` until it returns, again after every failure. Raises AlreadyExists."""
        if name in self._tasks and not self._tasks[name].done():
            raise AlreadyExists(f"the task {name} is running", task=name)
        self._restarts[name] = 0
        self._tasks[name] = asyncio.create_task(self._keep(name, work), name=name)

    @property
    def running(self) -> list[str]:
        """The tasks that have not finished, those waiting to be started again included."""
        return [name for name, task in self._tasks.items() if not task.done()]

    def restarts(self, name: str) -> int:
        """How often the task was started again."""
        return self._restarts.get(name, 0)

    async def cancel(self, name: str) -> None:
        """End one task; fine when there is none."""
        task = self._tasks.pop(name, None)
        if task is not None:
            await _end([task])

    async def stop(self) -> None:
        """End all tasks, the last started first, waiting for their cleaning up."""
        tasks = [*reversed(self._tasks.values())]
        self._tasks.clear()
        for task in tasks:
            await _end([task])

    async def __aenter__(self) -> Supervisor:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while True:
            began = self._clock.monotonic()
            try:
                await work()
            except Exception:
                if self._clock.monotonic() - began > self._backoff.longest_s:
                    failures = 0
                failures += 1
                delay_s = self._backoff.delay(failures)
                log.exception("task %s failed; it starts again in %.1f s", name, delay_s)
            else:
                return
            await self._clock.sleep(delay_s)
            self._restarts[name] += 1


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            log.warning("while ending: %s", result)
