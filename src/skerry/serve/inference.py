"""Prepared images wait here for the engine, and leave in batches: by the loop's turn, or one batch at a time.

Nothing ever waits for company. In the loop, a batch is what became ready in one turn; with a thread, it is
what became ready while the batch before was computed. So a lone image is computed at once, and one that
comes during a batch waits for that batch and for nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import numpy as np

from skerry.errors import SkerryError
from skerry.serve.batching import Batcher
from skerry.serve.predictor import FloatArray, Predictor


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """The model's output for one image; ``begun`` and ``ended`` (perf_counter) are its batch's."""

    row: FloatArray
    begun: float
    ended: float
    batch: int


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    array: FloatArray
    answer: asyncio.Future[Computed]


class Inference(Protocol):
    """Computes what is submitted, in order, in batches."""

    @property
    def in_loop(self) -> bool:
        """Whether the event loop itself computes."""

    def submit(self, arrays: Sequence[FloatArray]) -> list[asyncio.Future[Computed]]:
        """One answer to come per array; SkerryError in it when the engine refuses the batch."""

    async def close(self) -> None:
        """Finish what was submitted."""


class LoopInference:
    """For nets that take less time than handing them to a thread: computed in the loop, once per turn.

    After a turn in which only one caller came, the next one is computed on the spot: a lone client then
    gets its answer without another turn of the loop, and company is batched again from the turn after.
    """

    in_loop = True

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._batcher: Batcher[_Waiting] = Batcher(batch_max=predictor.batch_max)
        self._loop = asyncio.get_running_loop()
        self._due = False
        self._callers = 0
        self._lonely = False

    def submit(self, arrays: Sequence[FloatArray]) -> list[asyncio.Future[Computed]]:
        waiting = [_Waiting(array, self._loop.create_future()) for array in arrays]
        self._callers += 1
        for each in waiting:
            self._batcher.ready(each)
        self._plan()
        if self._lonely and self._callers == 1:
            self._compute()
        return [each.answer for each in waiting]

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
            _deliver(batch, self._predictor)
            self._batcher.finished()


class ThreadInference:
    """One thread computes batch after batch while the loop goes on."""

    in_loop = False

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._batcher: Batcher[_Waiting] = Batcher(batch_max=predictor.batch_max)
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="infer")
        self._computing: set[asyncio.Task[None]] = set()

    def submit(self, arrays: Sequence[FloatArray]) -> list[asyncio.Future[Computed]]:
        waiting = [_Waiting(array, self._loop.create_future()) for array in arrays]
        for each in waiting:
            self._batcher.ready(each)
        self._start()
        return [each.answer for each in waiting]

    async def close(self) -> None:
        while self._computing:
            await asyncio.wait(self._computing)
        self._thread.shutdown()

    def _start(self) -> None:
        batch = self._batcher.next()
        if batch:
            task = self._loop.create_task(self._run(batch))
            self._computing.add(task)
            task.add_done_callback(self._computing.discard)

    async def _run(self, batch: list[_Waiting]) -> None:
        arrays = [each.array for each in batch]
        try:
            found = await self._loop.run_in_executor(self._thread, _compute, self._predictor, arrays)
        except SkerryError as exc:
            _fail(batch, exc)
        else:
            _answer(batch, *found)
        finally:
            self._batcher.finished()
            self._start()


def _compute(predictor: Predictor, arrays: Sequence[FloatArray]) -> tuple[FloatArray, float, float]:
    begun = perf_counter()
    found = predictor.infer(arrays[0][None] if len(arrays) == 1 else np.stack(arrays))
    return found, begun, perf_counter()


def _deliver(batch: Sequence[_Waiting], predictor: Predictor) -> None:
    try:
        found = _compute(predictor, [each.array for each in batch])
    except SkerryError as exc:
        _fail(batch, exc)
    else:
        _answer(batch, *found)


def _answer(batch: Sequence[_Waiting], rows: FloatArray, begun: float, ended: float) -> None:
    for each, row in zip(batch, rows, strict=True):
        if not each.answer.done():
            each.answer.set_result(Computed(row, begun, ended, len(batch)))


def _fail(batch: Sequence[_Waiting], error: SkerryError) -> None:
    for each in batch:
        if not each.answer.done():
            each.answer.set_exception(error)
