"""Prepared images wait here for the engine, and leave in batches: by the loop's turn, or one batch at a time.

Nothing ever waits for company. In the loop, a batch is what became ready in one turn; with a thread, it is
what became ready while the batch before was computed. So a lone image is computed at once, and one that
comes during a batch waits for that batch and for nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from skerry.serve.batching import Batcher
from skerry.serve.lane import Batch, Engine, Lane, deliver
from skerry.serve.predictor import Predictor
from skerry.serve.work import Work


class Inference(Protocol):
    """Computes what is submitted, in order, in batches."""

    @property
    def in_loop(self) -> bool:
        """Whether the event loop itself computes."""

    def submit(self, works: Sequence[Work]) -> None:
        """Compute one caller's images; each ``done`` is called, perhaps before this returns."""

    async def close(self) -> None:
        """Finish what was submitted."""


class LoopInference:
    """For nets that take less time than handing them to a thread: computed in the loop, once per turn.

    After a turn in which only one caller came, the next one is computed on the spot: a lone client then
    gets its answer without another turn of the loop, and company is batched again from the turn after.
    A full batch is not handed to another core either (docs/decisions, "computing in the loop").
    """

    in_loop = True

    def __init__(self, predictor: Predictor) -> None:
        self._engine = Engine(predictor)
        self._batcher: Batcher[Work] = Batcher(batch_max=predictor.batch_max)
        self._loop = asyncio.get_running_loop()
        self._due = False
        self._callers = 0
        self._lonely = False

    def submit(self, works: Sequence[Work]) -> None:
        self._callers += 1
        for work in works:
            self._batcher.ready(work)
        self._plan()
        if self._lonely and self._callers == 1:
            self._compute()

    async def close(self) -> None:
        while self._batcher.waiting:
            self._compute()

    def _plan(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """One batch; sockets are read before the next one, so that a long queue starves nobody."""
        self._due = False
        self._lonely = self._callers == 1 and self._batcher.waiting <= 1
        self._callers = 0
        self._compute()
        if self._batcher.waiting:
            self._plan()

    def _compute(self) -> None:
        batch = self._batcher.next()
        if batch:
            self._engine.run(batch)
            self._batcher.finished()
            deliver(batch)


class ThreadInference:
    """One thread computes batch after batch while the loop goes on."""

    in_loop = False

    def __init__(self, predictor: Predictor) -> None:
        self._batcher: Batcher[Work] = Batcher(batch_max=predictor.batch_max)
        self._lane = Lane(Engine(predictor), self._finished)
        self._idle = asyncio.Event()

    def submit(self, works: Sequence[Work]) -> None:
        for work in works:
            self._batcher.ready(work)
        self._start()

    async def close(self) -> None:
        while self._batcher.waiting or self._batcher.running:
            self._idle.clear()
            await self._idle.wait()
        self._lane.close()

    def _start(self) -> None:
        batch = self._batcher.next()
        if batch:
            self._lane.run(batch)

    def _finished(self, batch: Batch) -> None:
        self._batcher.finished()
        self._start()
        deliver(batch)
        if not self._batcher.running:
            self._idle.set()
