"""The CNN module's messaging surface: images on an input, predictions on ``amlOutput``, twin, methods."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from skerry.clock import Clock
from skerry.contract.message import Message
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.errors import InvalidInput, SkerryError, Throttled, Unavailable
from skerry.protocol.client import DeviceClient
from skerry.serve.activation import GoldenReport
from skerry.serve.answer import Scored, Settings
from skerry.serve.desired import apply_desired
from skerry.serve.measures import Measures
from skerry.serve.module_messages import OUTPUT, answer_message, error_message, images_of_message
from skerry.serve.protocol import Images, answer_document, image_of_base64
from skerry.serve.scoring import Scorer

if TYPE_CHECKING:
    from skerry.serve.update.twin import ModelTwin

log = logging.getLogger(__name__)

Json = Any

# Enough to keep decoding and inference busy; the rest waits in the edge hub's durable queue.
INPUTS_MAX = 8

# Room comes within one batch of whoever else fills the queue (HTTP callers).
THROTTLED_WAIT_S = 0.02

# Inputs being scored when the module is told to stop get this long to be answered.
DRAIN_S = 3.0

METHODS = "status, predict, activate, rollback"

# To who asks for another model of a module that has nowhere to keep one.
NOT_KEPT = 501
NO_STATE = "this module keeps no models: SKERRY_STATE_DIR is not set or cannot be written"

# Between tries to report what the hub could not take.
REPORT_RETRY_S = 5.0


class ModuleFront:
    """A module's link to its edge hub, from ``start`` to ``close``.

    An input is acknowledged only once its output is durably accepted, so a crash repeats work and
    loses none. Inputs are scored side by side; outputs leave in the order the inputs came.
    """

    def __init__(
        self,
        client: DeviceClient,
        scorer: Scorer,
        golden: GoldenReport,
        measures: Measures,
        *,
        clock: Clock,
        drain_s: float = DRAIN_S,
        models: ModelTwin | None = None,
    ) -> None:
        self.answered = 0
        self.failed = 0
        self._client = client
        self._scorer = scorer
        self._golden = golden
        self._measures = measures
        self._clock = clock
        self._drain_s = drain_s
        self._models = models
        self._asked: set[str] = set()
        self._room = asyncio.Semaphore(INPUTS_MAX)
        self._last = asyncio.Event()
        self._last.set()
        self._inputs: set[asyncio.Event] = set()
        self._closing = False
        self._left = asyncio.Event()
        self._reporting: asyncio.Task[None] | None = None
        self._to_report: dict[str, Json] = {}
        self._wake = asyncio.Event()

    async def start(self) -> None:
        """Begin to connect, for ever; returns at once."""
        self._client.on_input = self.on_input
        self._client.on_method = self.on_method
        self._client.on_desired = self.on_desired
        if self._models is not None:
            self._models.on_change(self._model_changed)
        await self._client.start()
        self._report(self._identity())
        self._reporting = asyncio.create_task(self._keep_reporting(), name="reported properties")

    async def close(self) -> None:
        """Answer the inputs at hand, if that goes quickly, and leave; the others stay with the edge hub."""
        self._closing = True
        at_hand = [asyncio.ensure_future(done.wait()) for done in self._inputs]
        if at_hand:
            _, late = await asyncio.wait(at_hand, timeout=self._drain_s)
            for waiting in late:
                waiting.cancel()
        self._left.set()
        if self._reporting is not None:
            self._reporting.cancel()
            await asyncio.wait([self._reporting])
        await self._client.stop()

    async def on_input(self, name: str, message: Message) -> None:
        """Answer one input message; returns once the answer is durably accepted.

        Ends in CancelledError, which the client does not acknowledge, when the module leaves first.
        """
        if self._closing:
            await self._left.wait()
            raise asyncio.CancelledError
        log.debug("input %s: %d bytes", name, len(message.body))
        before, mine = self._last, asyncio.Event()
        done = asyncio.Event()
        self._last = mine
        self._inputs.add(done)
        try:
            async with self._room:
                answer = await self._answer(message)
            await before.wait()
            # The task takes its place in the client's queue before the next input's may start.
            sending = asyncio.create_task(self._client.send(answer, OUTPUT))
            mine.set()
            await sending
        except Unavailable as exc:
            # Not an error of ours that sending the input again would repeat: only the next start can.
            raise asyncio.CancelledError("the module stopped before its answer was accepted") from exc
        finally:
            mine.set()
            done.set()
            self._inputs.discard(done)

    async def on_method(self, request: MethodRequest) -> MethodResponse:
        """``status``, ``predict``, ``activate``, ``rollback``; an error is a status with ``{"message"}``."""
        name = request.name.lower()
        if name == "status":
            return MethodResponse(200, self.status())
        if name in ("activate", "rollback"):
            if self._models is None:
                return MethodResponse(NOT_KEPT, {"message": NO_STATE})
            return await (
                self._models.activate(request.payload) if name == "activate" else self._models.rollback()
            )
        if name != "predict":
            return MethodResponse(404, {"message": f"no method {request.name}; there are {METHODS}"})
        payload = request.payload if isinstance(request.payload, dict) else {}
        try:
            results = await self._scored({"image": image_of_base64(payload.get("image"), "image")})
        except Throttled as exc:
            return MethodResponse(503, {"message": str(exc)})
        except SkerryError as exc:
            return MethodResponse(400, {"message": str(exc)})
        return MethodResponse(200, answer_document(results))

    async def on_desired(self, patch: Mapping[str, Json], version: int) -> None:
        """Apply a change of the desired properties and have it acknowledged."""
        applied = apply_desired(self._scorer.settings, self._defaults(), patch, version)
        for name in applied.accepted:
            (self._asked.discard if patch[name] is None else self._asked.add)(name)
        if applied.settings != self._scorer.settings:
            log.info("settings: %s", applied.settings)
        self._scorer.settings = applied.settings
        self._report(applied.reported)
        if self._models is not None:
            self._models.desired(patch, version)
        elif patch.get("model") is not None:
            value = {"package": self._scorer.package.digest}
            refusal = {"value": value, "ac": NOT_KEPT, "av": version, "ad": NO_STATE}
            self._report({"model": {**self._identity()["model"], **refusal}})

    def status(self) -> dict[str, Json]:
        """What the module is and has done, for the ``status`` method."""
        return {
            **self._identity(),
            "topK": self._scorer.settings.top_k,
            "threshold": self._scorer.settings.threshold,
            "scored": self._scorer.scored,
            "refused": self._scorer.refused,
            "waiting": self._scorer.waiting,
            "answered": self.answered,
            "failed": self.failed,
        }

    def _identity(self) -> dict[str, Json]:
        package, models = self._scorer.package, self._models
        model = {"name": package.name, "digest": package.digest, "recipe": package.recipe.digest}
        golden = self._golden if models is None else models.golden
        return {
            "model": model if models is None else {**model, **models.acknowledgement()},
            "engine": self._scorer.predictor.engine,
            "golden": golden.to_json(),
            **({} if models is None else models.reported()),
        }

    def _model_changed(self) -> None:
        """Report the model; settings that nobody asked for are those of its recipe."""
        if "topK" not in self._asked:
            self._scorer.settings = replace(self._scorer.settings, top_k=self._defaults().top_k)
        self._report(self._identity())

    def _defaults(self) -> Settings:
        return Settings(top_k=self._scorer.package.recipe.output.top_k)

    async def _answer(self, message: Message) -> Message:
        try:
            results = await self._scored(images_of_message(message), patient=True)
        except SkerryError as exc:
            self.failed += 1
            log.info("an input could not be scored: %s", exc)
            return error_message(message, exc)
        self.answered += 1
        return answer_message(message, results)

    async def _scored(self, images: Images, *, patient: bool = False) -> dict[str, Scored]:
        """The images' answers; who is patient waits for room instead of getting Throttled."""
        while True:
            try:
                scored = await self._scorer.score(list(images.values()))
            except SkerryError as exc:
                if isinstance(exc, Throttled) and patient:
                    await self._clock.sleep(THROTTLED_WAIT_S)
                    continue
                self._measures.refused("module", exc)
                raise
            self._measures.scored("module", scored)
            return dict(zip(images, scored, strict=True))

    def _report(self, properties: Mapping[str, Json]) -> None:
        self._to_report.update(properties)
        self._wake.set()

    async def _keep_reporting(self) -> None:
        """Report what there is, the newest value of each property, however long the hub is away."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            pending, self._to_report = self._to_report, {}
            try:
                if pending:
                    await self._client.report(pending)
            except InvalidInput as exc:
                log.warning("the hub refuses these reported properties: %s", exc)
            except SkerryError as exc:
                log.info("not reported yet: %s", exc)
                await self._clock.sleep(REPORT_RETRY_S)
                self._report({**pending, **self._to_report})
