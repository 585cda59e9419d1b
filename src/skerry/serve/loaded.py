"""One loaded model with all that a request needs of it, from image file to output."""

from __future__ import annotations

import asyncio
from types import TracebackType

from skerry.package.manifest import Package
from skerry.serve.inference import Inference, LoopInference, ThreadInference
from skerry.serve.predictor import Predictor
from skerry.serve.preparation import Preparation


class LoadedModel:
    """A request enters it (``with model:``) and stays with it to its end, whatever is switched meanwhile."""

    def __init__(
        self,
        package: Package,
        predictor: Predictor,
        *,
        decode_threads: int,
        in_loop: bool,
    ) -> None:
        self.package = package
        self.predictor = predictor
        self.recipe = package.recipe
        self.recipe_digest = package.recipe.digest
        self.preparation = Preparation(package.recipe, threads=decode_threads, in_loop=in_loop)
        self.inference: Inference = LoopInference(predictor) if in_loop else ThreadInference(predictor)
        self._requests = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self) -> None:
        """A request begins; ``leave`` when it has ended."""
        self._requests += 1
        if self._requests == 1:
            self._idle.clear()

    def leave(self) -> None:
        """A request has ended."""
        self._requests -= 1
        if not self._requests:
            self._idle.set()

    def __enter__(self) -> None:
        self.enter()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    async def close(self) -> None:
        """Let the requests in it end, then free the threads and the engine."""
        await self._idle.wait()
        await self.inference.close()
        self.preparation.close()
        self.predictor.close()
