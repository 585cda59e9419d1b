"""A thread that runs the engine on one batch at a time, and the way a batch is run anywhere."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from skerry.errors import SkerryError
from skerry.serve.predictor import FloatArray, Predictor
from skerry.serve.work import Work

log = logging.getLogger(__name__)

Batch = Sequence[Work]


class Engine:
    """Runs batches; between batches the arrays they are put together in are kept."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._stacked: FloatArray | None = None

    def run(self, batch: Batch) -> None:
        """Give each work its row, or all of them the error. Blocks; ``done`` is left to the caller."""
        size, begun = len(batch), perf_counter()
        try:
            rows = self._predictor.infer(self._together(batch))
        except SkerryError as exc:
            _fail(batch, exc)
        except Exception:
            # Whoever waits for this batch must get an answer, and the next batch its turn.
            log.exception("the engine failed")
            _fail(batch, SkerryError("the engine failed"))
        else:
            ended = perf_counter()
            for work, row in zip(batch, rows, strict=True):
                work.row, work.begun, work.ended, work.batch = row, begun, ended, size

    def _together(self, batch: Batch) -> FloatArray:
        size = len(batch)
        # A tensor read in place from a request may begin at any byte; engines want whole words.
        if size == 1 and batch[0].array.flags.aligned:
            return batch[0].array[None]
        if self._stacked is None or self._stacked.shape[1:] != batch[0].array.shape:
            room = (max(self._predictor.batch_max, size), *batch[0].array.shape)
            self._stacked = np.empty(room, np.float32)
        found = self._stacked[:size]
        for place, work in enumerate(batch):
            found[place] = work.array
        return found


class Lane:
    """The thread; ``finished`` is called in the event loop after each batch."""

    def __init__(self, engine: Engine, finished: Callable[[Batch], None]) -> None:
        self._engine = engine
        self._finished = finished
        self._loop = asyncio.get_running_loop()
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        # A process that ends without closing shall not wait for it.
        self._thread = threading.Thread(target=self._work, name="infer", daemon=True)
        self._thread.start()
        self.busy = False

    def run(self, batch: Batch) -> None:
        """Compute it there; not while ``busy``."""
        self.busy = True
        self._batches.put(batch)

    def close(self) -> None:
        """End the thread; not while ``busy``."""
        self._batches.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            self._engine.run(batch)
            self._loop.call_soon_threadsafe(self._end, batch)

    def _end(self, batch: Batch) -> None:
        self.busy = False
        self._finished(batch)


def deliver(batch: Batch) -> None:
    """Tell who waits; a mistake of one of them is not the others'."""
    for work in batch:
        try:
            work.done(work)
        except Exception:
            log.exception("an answer was not delivered")


def _fail(batch: Batch, error: SkerryError) -> None:
    for work in batch:
        work.error = error
