"""The one data plane: image bytes in, scored predictions out, whichever front asks."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from skerry.clock import Clock
from skerry.errors import SkerryError
from skerry.package.manifest import Package
from skerry.package.postprocess import scores, top_k
from skerry.package.preprocess import prepare
from skerry.package.recipe import Recipe
from skerry.serve.answer import Latency, Scored, Settings
from skerry.serve.batching import Batcher
from skerry.serve.predictor import FloatArray, Predictor

# Decoding overlaps with inference; a third thread only competes with the engine on a small device.
DECODE_THREADS = 2

# At 100 kB per picture this holds some 6 MB, and at 30 ms each an answer comes within two seconds.
ADMITTED_MAX = 64


@dataclass(slots=True)
class _Job:
    array: FloatArray
    digest: str
    started: float
    prepared: float
    answer: asyncio.Future[tuple[FloatArray, float, float, int]]


class Scorer:
    """Scores images with one model; made in a running loop, closed with ``close``."""

    def __init__(
        self,
        package: Package,
        predictor: Predictor,
        *,
        clock: Clock,
        settings: Settings | None = None,
        decode_threads: int = DECODE_THREADS,
        admitted_max: int = ADMITTED_MAX,
    ) -> None:
        self.package = package
        self.predictor = predictor
        self.settings = settings or Settings(top_k=package.recipe.output.top_k)
        self.scored = 0
        self.refused = 0
        self._clock = clock
        self._recipe_digest = package.recipe.digest
        self._decode = ThreadPoolExecutor(decode_threads, thread_name_prefix="decode")
        self._infer = ThreadPoolExecutor(1, thread_name_prefix="infer")
        self._batcher: Batcher[_Job] = Batcher(batch_max=predictor.batch_max, admitted_max=admitted_max)
        self._computing: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Images admitted and not answered yet."""
        return self._batcher.admitted

    async def score(self, images: Sequence[bytes]) -> list[Scored]:
        """One answer per image, in the order given; all of them or none.

        Raises Throttled while too many images wait, and InvalidInput (``fields["index"]`` is the
        image's position) for bytes that are not an image.
        """
        settings = self.settings
        self._admit(len(images))
        try:
            jobs = await asyncio.gather(*(self._prepare(image) for image in images), return_exceptions=True)
            return await self._compute([_checked(job, index) for index, job in enumerate(jobs)], settings)
        finally:
            self._batcher.release(len(images))

    async def close(self) -> None:
        """Finish what is being computed, then free the threads and the engine."""
        while self._computing:
            await asyncio.wait(self._computing)
        self._decode.shutdown()
        self._infer.shutdown()
        self.predictor.close()

    def _admit(self, count: int) -> None:
        try:
            self._batcher.admit(count)
        except SkerryError:
            self.refused += count
            raise

    async def _prepare(self, image: bytes) -> _Job:
        loop = asyncio.get_running_loop()
        started = perf_counter()
        array, digest = await loop.run_in_executor(self._decode, _prepare, image, self.package.recipe)
        return _Job(array, digest, started, perf_counter(), loop.create_future())

    async def _compute(self, jobs: Sequence[_Job], settings: Settings) -> list[Scored]:
        for job in jobs:
            self._batcher.ready(job)
        self._start_batch()
        answers = await asyncio.gather(*(job.answer for job in jobs))
        return [self._scored(job, answer, settings) for job, answer in zip(jobs, answers, strict=True)]

    def _start_batch(self) -> None:
        batch = self._batcher.next()
        if batch:
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._computing.add(task)
            task.add_done_callback(self._computing.discard)

    async def _run(self, batch: list[_Job]) -> None:
        begun = perf_counter()
        arrays = [job.array for job in batch]
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._infer, self._infer_batch, arrays)
        except SkerryError as exc:
            for job in batch:
                if not job.answer.done():
                    job.answer.set_exception(exc)
        else:
            ended = perf_counter()
            for job, row in zip(batch, found, strict=True):
                if not job.answer.done():
                    job.answer.set_result((row, begun, ended, len(batch)))
        finally:
            self._batcher.finished()
            self._start_batch()

    def _infer_batch(self, arrays: list[FloatArray]) -> FloatArray:
        return self.predictor.infer(np.stack(arrays))

    def _scored(self, job: _Job, answer: tuple[FloatArray, float, float, int], settings: Settings) -> Scored:
        row, begun, ended, batch = answer
        self.scored += 1
        found = top_k(row, self.package.recipe, settings.top_k, settings.threshold)
        probabilities = scores(row, self.package.recipe)
        digest = "sha256:" + hashlib.sha256(probabilities.astype("<f4").tobytes()).hexdigest()
        ms = 1000.0
        return Scored(
            predictions=tuple(found),
            probabilities=digest,
            margin=_margin(probabilities),
            input=job.digest,
            model=self.package.digest,
            recipe=self._recipe_digest,
            batch=batch,
            latency=Latency(
                prepare=(job.prepared - job.started) * ms,
                queue=(begun - job.prepared) * ms,
                infer=(ended - begun) * ms,
                total=(perf_counter() - job.started) * ms,
            ),
            at=self._clock.now(),
        )


def _prepare(image: bytes, recipe: Recipe) -> tuple[FloatArray, str]:
    array = prepare(image, recipe)
    return array, "sha256:" + hashlib.sha256(image).hexdigest()


def _checked(job: _Job | BaseException, index: int) -> _Job:
    if isinstance(job, SkerryError):
        job.fields["index"] = index
    if isinstance(job, BaseException):
        raise job
    return job


def _margin(row: FloatArray) -> float:
    if row.size < 2:
        return 1.0
    second, best = np.partition(row, -2)[-2:]
    return float(best - second)
