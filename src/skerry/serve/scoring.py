"""The one data plane: image bytes in, scored predictions out, whichever front asks."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from skerry.clock import Clock
from skerry.errors import SkerryError
from skerry.package.manifest import Package
from skerry.package.postprocess import best, checked, further_answers, ranked, scores_of
from skerry.serve.answer import Latency, Scored, Settings
from skerry.serve.batching import Admission
from skerry.serve.loaded import LoadedModel
from skerry.serve.predictor import FloatArray, Predictor
from skerry.serve.preparation import DECODE_THREADS, Prepared
from skerry.serve.work import Work, computed

# At 100 kB per picture this holds some 6 MB, and at 30 ms each an answer comes within two seconds.
ADMITTED_MAX = 64

MS = 1000.0


class Scorer:
    """Scores images with one model; made in a running loop, closed with ``close``.

    ``in_loop``: the event loop itself decodes small images and computes, for nets that take less time
    than the way to a thread and back (``probe.fits_the_loop``).
    """

    def __init__(
        self,
        package: Package,
        predictor: Predictor,
        *,
        clock: Clock,
        settings: Settings | None = None,
        decode_threads: int = DECODE_THREADS,
        admitted_max: int = ADMITTED_MAX,
        in_loop: bool = False,
    ) -> None:
        self._decode_threads = decode_threads
        self.model = self.load(package, predictor, in_loop=in_loop)
        self.settings = settings or Settings.of(package.recipe)
        self.scored = 0
        self.refused = 0
        self.watch: Callable[[Sequence[bytes], list[Scored]], None] | None = None
        """Called with the images and answers of each request, between two others: it must not block."""
        self._clock = clock
        self._admission = Admission(admitted_max)

    @property
    def package(self) -> Package:
        """The package that new requests are scored with."""
        return self.model.package

    @property
    def predictor(self) -> Predictor:
        """Its engine."""
        return self.model.predictor

    @property
    def waiting(self) -> int:
        """Images admitted and not answered yet."""
        return self._admission.admitted

    @property
    def in_loop(self) -> bool:
        """Whether the event loop computes."""
        return self.model.inference.in_loop

    def load(self, package: Package, predictor: Predictor, *, in_loop: bool) -> LoadedModel:
        """Another model, ready for ``switch``; who calls closes it if it comes to nothing."""
        return LoadedModel(
            package,
            predictor,
            decode_threads=self._decode_threads,
            in_loop=in_loop,
        )

    def switch(self, model: LoadedModel) -> LoadedModel:
        """Every request from now on gets ``model``; returns the one before, in which requests may still be.

        Happens between two requests: those under way end with the model they began with.
        """
        before, self.model = self.model, model
        return before

    async def score(self, images: Sequence[bytes]) -> list[Scored]:
        """One answer per image, in the order given; all of them or none.

        Raises Throttled while too many images wait, and InvalidInput (``fields["index"]`` is the
        image's position) for bytes that are not an image.
        """
        model, settings, started = self.model, self.settings, perf_counter()
        self._admit(len(images))
        try:
            with model:
                prepared = await _prepare(model, images)
                ready = perf_counter()
                works = await computed(model.inference, [each.array for each in prepared])
                found = [
                    self._scored(model, one, work, settings, started, ready)
                    for one, work in zip(prepared, works, strict=True)
                ]
                if self.watch is not None:
                    self.watch(images, found)
                return found
        finally:
            self._admission.release(len(images))

    def score_soon(self, image: bytes, done: Callable[[Scored | SkerryError], None]) -> bool:
        """As ``score`` for one image that the loop itself prepares, without a task; False if it does not.

        ``done`` may be called before this returns. Raises as ``score``.
        """
        model, settings, started = self.model, self.settings, perf_counter()
        if not model.inference.in_loop:
            return False
        self._admit(1)
        try:
            prepared = _at_once(model, image)
        except SkerryError:
            self._admission.release(1)
            raise
        if prepared is None:
            self._admission.release(1)
            return False
        model.enter()
        ready = perf_counter()

        def ended(work: Work) -> None:
            model.leave()
            self._admission.release(1)
            done(work.error or self._found(model, image, prepared, work, settings, started, ready))

        model.inference.submit((Work(prepared.array, ended),))
        return True

    def _found(
        self,
        model: LoadedModel,
        image: bytes,
        prepared: Prepared,
        work: Work,
        settings: Settings,
        started: float,
        ready: float,
    ) -> Scored | SkerryError:
        try:
            found = self._scored(model, prepared, work, settings, started, ready)
        except SkerryError as exc:
            return exc
        if self.watch is not None:
            self.watch([image], [found])
        return found

    async def infer(self, batch: FloatArray, model: LoadedModel | None = None) -> FloatArray:
        """All outputs' numbers ``[N, numbers]`` for prepared images ``[N, height, width, channels]``.

        ``model``: the one the caller read shapes and labels from, without an await since.
        Raises Throttled while too many images wait.
        """
        model = model or self.model
        self._admit(len(batch))
        try:
            with model:
                return await self._rows(model, list(batch))
        finally:
            self._admission.release(len(batch))

    def infer_soon(self, image: FloatArray, model: LoadedModel, done: Callable[[Work], None]) -> None:
        """As ``infer`` for one prepared image, without a task: ``done`` is called with its output or error.

        That may be before this returns. Raises Throttled while too many images wait.
        """
        self._admit(1)
        model.enter()

        def ended(work: Work) -> None:
            model.leave()
            self._admission.release(1)
            self.scored += work.error is None
            done(work)

        model.inference.submit((Work(image, ended),))

    async def outputs(self, images: Sequence[bytes], model: LoadedModel | None = None) -> FloatArray:
        """All outputs' numbers ``[N, numbers]`` for image files, as ``infer``. Raises as ``score``."""
        model = model or self.model
        self._admit(len(images))
        try:
            with model:
                prepared = await _prepare(model, images)
                return await self._rows(model, [each.array for each in prepared])
        finally:
            self._admission.release(len(images))

    async def _rows(self, model: LoadedModel, arrays: Sequence[FloatArray]) -> FloatArray:
        works = await computed(model.inference, arrays)
        self.scored += len(arrays)
        return np.stack([work.row for work in works])

    async def close(self) -> None:
        """Finish what is being computed, then free the threads and the engine."""
        await self.model.close()

    def _admit(self, count: int) -> None:
        try:
            self._admission.admit(count)
        except SkerryError:
            self.refused += count
            raise

    def _scored(
        self,
        model: LoadedModel,
        prepared: Prepared,
        work: Work,
        settings: Settings,
        started: float,
        ready: float,
    ) -> Scored:
        self.scored += 1
        began = perf_counter()
        recipe = model.recipe
        numbers = checked(work.row, recipe)
        probabilities = scores_of(numbers[: recipe.output.size], recipe.output)
        found = best(probabilities, recipe, settings.top_k, settings.threshold)
        digest = "sha256:" + hashlib.sha256(probabilities.astype("<f4").tobytes()).hexdigest()
        margin = _margin(probabilities)
        ended = perf_counter()
        return Scored(
            predictions=tuple(found),
            probabilities=digest,
            margin=margin,
            input=prepared.digest,
            model=model.package.digest,
            recipe=model.recipe_digest,
            batch=work.batch,
            latency=Latency(
                prepare=(ready - started) * MS,
                queue=(work.begun - ready) * MS,
                infer=(work.ended - work.begun) * MS,
                total=(ended - started) * MS,
                decode=prepared.decode_s * MS,
                preprocess=prepared.preprocess_s * MS,
                post=(ended - began) * MS,
            ),
            at=self._clock.now(),
            further=further_answers(numbers, recipe) if recipe.others else (),
        )


def _at_once(model: LoadedModel, image: bytes) -> Prepared | None:
    try:
        return model.preparation.at_once(image)
    except SkerryError as exc:
        exc.fields["index"] = 0
        raise


async def _prepare(model: LoadedModel, images: Sequence[bytes]) -> list[Prepared]:
    if len(images) == 1 and (prepared := _at_once(model, images[0])) is not None:
        return [prepared]
    found = await asyncio.gather(
        *(model.preparation.prepare(image) for image in images), return_exceptions=True
    )
    return [_checked(each, index) for index, each in enumerate(found)]


def _checked(prepared: Prepared | BaseException, index: int) -> Prepared:
    if isinstance(prepared, SkerryError):
        prepared.fields["index"] = index
    if isinstance(prepared, BaseException):
        raise prepared
    return prepared


def _margin(row: FloatArray) -> float:
    if row.size < 2:
        return 1.0
    (_, highest), (_, second) = ranked(row, 2)
    return highest - second
