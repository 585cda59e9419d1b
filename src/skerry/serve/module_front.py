"""The CNN module's messaging surface: images on an input, predictions on ``amlOutput``, twin, methods."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skerry.clock import Clock
from skerry.contract.message import Message
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.contract.twin import merge
from skerry.errors import SkerryError, Throttled, Unavailable
from skerry.protocol.claims import ClaimStore, is_claim, redeemed
from skerry.protocol.client import DeviceClient
from skerry.serve.activation import Activated
from skerry.serve.answer import Scored, Settings
from skerry.serve.desired import PROPERTIES, ModuleSettings, apply_desired
from skerry.serve.inputs import DRAIN_S, Inputs, Outgoing
from skerry.serve.measures import Measures
from skerry.serve.module_messages import (
    OUTPUT,
    answer_message,
    error_message,
    images_of_message,
    source_of,
    summary_message,
)
from skerry.serve.protocol import Images, answer_document, image_of_base64
from skerry.serve.reporting import Reporter
from skerry.serve.scoring import Scorer
from skerry.serve.upstream import SUMMARY, Gate

if TYPE_CHECKING:
    from skerry.serve.update.twin import ModelTwin

log = logging.getLogger(__name__)

Json = Any

# Room comes within one batch of whoever else fills the queue (HTTP callers).
THROTTLED_WAIT_S = 0.02

METHODS = "status, predict, activate, rollback"

# To who asks for another model of a module that has nowhere to keep one.
NOT_KEPT = 501
NO_STATE = "this module keeps no models: SKERRY_STATE_DIR is not set or cannot be written"

# An interval that the twin changes ends now; else the module looks this often whether one is over.
LOOK_S = 1.0


class ModuleFront:
    """A module's link to its edge hub, from ``start`` to ``close``."""

    def __init__(
        self,
        client: DeviceClient,
        scorer: Scorer,
        activated: Activated,
        measures: Measures,
        *,
        clock: Clock,
        drain_s: float = DRAIN_S,
        models: ModelTwin | None = None,
        claims: ClaimStore | None = None,
    ) -> None:
        self.answered = 0
        self.failed = 0
        self._client = client
        self._scorer = scorer
        self._activated = activated
        self._measures = measures
        self._clock = clock
        self._drain_s = drain_s
        self._models = models
        self._claims = claims
        self._desired: dict[str, Json] = {}
        self._version = 0
        self._settings = self._defaults()
        self._gate = Gate(clock.now())
        self._inputs = Inputs(client, self._answer, drain_s=drain_s)
        self._reporter = Reporter(client, clock)
        self._intervals: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to connect, for ever; returns at once."""
        self._client.on_input = self._inputs.on_input
        self._client.on_method = self.on_method
        self._client.on_desired = self.on_desired
        if self._models is not None:
            self._models.on_change(self._model_changed)
        await self._client.start()
        self._reporter.report(self._identity())
        self._reporter.start()
        works = (self._keep_summing(), self._keep_counting())
        self._intervals = [asyncio.create_task(work) for work in works]

    async def close(self) -> None:
        """Answer the inputs at hand, if that goes quickly, and leave; the others stay with the edge hub."""
        await self._inputs.close()
        for task in self._intervals:
            task.cancel()
        await asyncio.gather(*self._intervals, return_exceptions=True)
        await self._reporter.close()
        await self._send_summary(self._drain_s)
        await self._client.stop()

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
        asked = {name: patch[name] for name in PROPERTIES if name in patch}
        self._desired, self._version = merge(self._desired, asked), version
        if asked:
            self._apply(frozenset(name for name in asked if asked[name] is None))
        if self._models is not None:
            self._models.desired(patch, version)
        elif patch.get("model") is not None:
            value = {"package": self._scorer.package.digest}
            refusal = {"value": value, "ac": NOT_KEPT, "av": version, "ad": NO_STATE}
            self._reporter.report({"model": {**self._identity()["model"], **refusal}})

    def _apply(self, removed: frozenset[str] = frozenset()) -> None:
        applied = apply_desired(self._settings, self._defaults(), self._desired, self._version, removed)
        if applied.settings != self._settings:
            log.info("settings: %s", applied.settings)
        self._settings = applied.settings
        self._scorer.settings = applied.settings.answers
        self._reporter.report(applied.reported)

    def status(self) -> dict[str, Json]:
        """What the module is and has done, for the ``status`` method."""
        return {
            **self._identity(),
            "topK": self._scorer.settings.top_k,
            "threshold": self._scorer.settings.threshold,
            "upstream": self._settings.upstream.to_json(),
            "reportSeconds": self._settings.report_every_s,
            "scored": self._scorer.scored,
            "refused": self._scorer.refused,
            "waiting": self._scorer.waiting,
            "answered": self.answered,
            "failed": self.failed,
            "withheld": self._gate.withheld,
        }

    def _identity(self) -> dict[str, Json]:
        package, models = self._scorer.package, self._models
        model = {"name": package.name, "digest": package.digest, "recipe": package.recipe.digest}
        golden = self._activated.golden if models is None else models.golden
        selection = self._activated.selection if models is None else models.selection
        return {
            "model": model if models is None else {**model, **models.acknowledgement()},
            "engine": self._scorer.predictor.engine,
            "inference": selection.to_json(),
            "golden": golden.to_json(),
            **({} if models is None else models.reported()),
        }

    def _model_changed(self) -> None:
        """Report the model; settings that nobody asked for are those of its recipe."""
        self._apply()
        self._reporter.report(self._identity())

    def _defaults(self) -> ModuleSettings:
        return ModuleSettings(Settings.of(self._scorer.package.recipe))

    async def _answer(self, message: Message) -> Outgoing:
        try:
            whole = message
            if is_claim(message):
                whole = await asyncio.get_running_loop().run_in_executor(
                    None, redeemed, message, self._claims
                )
            results = await self._scored(images_of_message(whole), patient=True)
        except SkerryError as exc:
            self.failed += 1
            log.info("an input could not be scored: %s", exc)
            refusal = error_message(message, exc)
            return lambda: refusal
        self.answered += 1

        def outgoing() -> Message | None:
            if self._gate.passes(self._settings.upstream, source_of(message), results):
                return answer_message(message, results)
            return None

        return outgoing

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

    async def _keep_summing(self) -> None:
        """Send a summary whenever an interval is over, or the policy is another one by now."""
        began = self._clock.monotonic()
        while True:
            await self._clock.sleep(LOOK_S)
            upstream, now = self._settings.upstream, self._clock.monotonic()
            if upstream.policy != SUMMARY or now - began >= upstream.interval_s:
                began = now
                await self._send_summary()

    async def _send_summary(self, timeout_s: float | None = None) -> None:
        summary = self._gate.summary(self._clock.now())
        if summary is not None:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._client.send(summary_message(summary), OUTPUT)
            except (TimeoutError, Unavailable):
                log.warning("a summary of %d images is lost", summary["summary"]["images"])

    async def _keep_counting(self) -> None:
        """Report the counts on schedule, unless nothing was counted."""
        began, told = self._clock.monotonic(), 0
        while True:
            await self._clock.sleep(LOOK_S)
            every_s, now = self._settings.report_every_s, self._clock.monotonic()
            if every_s and now - began >= every_s:
                began = now
                if self._measures.images != told:
                    told = self._measures.images
                    self._reporter.report({"predictions": self._measures.report(self._clock.now())})
