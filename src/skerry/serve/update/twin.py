"""The model in the module's twin and direct methods."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from skerry.contract.method import MethodResponse
from skerry.errors import (
    InvalidInput,
    NotAllowed,
    NotFound,
    PreconditionFailed,
    SkerryError,
    StorageFull,
    TooLarge,
    Unavailable,
    Unsupported,
)
from skerry.serve.activation import GoldenReport
from skerry.serve.choice.selection import Selection
from skerry.serve.update.updates import Updates
from skerry.serve.update.wish import (
    CONTENT_MD5,
    DOWNLOAD_URL,
    FILE_NAME,
    Wish,
    parse_download,
    parse_wish,
)

Json = Any

MODEL = "model"
DOWNLOAD = (FILE_NAME, DOWNLOAD_URL, CONTENT_MD5)
# By Microsoft's sample: the archive that is served.
LATEST = "LatestAIModelFileName"

# A direct method is given 30 s by default; what takes longer is told by the twin.
METHOD_WAIT_S = 20.0

# Half of what a text in a twin may have (contract.md §2.6).
REASON_CHARACTERS_MAX = 2000

DONE, UNDER_WAY, SET_ASIDE = 200, 202, 409

STATUS: tuple[tuple[type[SkerryError], int], ...] = (
    (NotAllowed, 403),
    (NotFound, 404),
    (PreconditionFailed, 412),
    (TooLarge, 413),
    (Unsupported, 415),
    (StorageFull, 507),
    (Unavailable, 503),
)


class ModelTwin:
    """Translates between the module's front and ``Updates``."""

    def __init__(self, updates: Updates) -> None:
        self._updates = updates
        self._desired: dict[str, Json] = {}
        self._wish: Wish | None = None
        self._problem: SkerryError | None = None
        self._version = 0

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called whenever what is reported would differ."""
        self._updates.changed = changed

    @property
    def golden(self) -> GoldenReport:
        """Of the model that serves."""
        return self._updates.active.golden

    @property
    def selection(self) -> Selection:
        """How the model that serves is run."""
        return self._updates.active.selection

    def desired(self, patch: Mapping[str, Json], version: int) -> None:
        """Act on a change of the desired properties, in the background. ``model`` wins over Microsoft's."""
        changes = {name: patch[name] for name in (MODEL, *DOWNLOAD) if name in patch}
        if not changes:
            return
        self._version = version
        for name, value in changes.items():
            if isinstance(value, Mapping) and isinstance(self._desired.get(name), Mapping):
                # A patch of a part keeps the rest (contract.md §2.6).
                value = {**self._desired[name], **value}
            self._desired[name] = value
        self._problem, self._wish = None, None
        try:
            self._wish = self._wished()
        except InvalidInput as exc:
            self._problem = exc
        if self._wish is not None:
            self._updates.want(self._wish)
        self._updates.changed()

    async def activate(self, payload: Json) -> MethodResponse:
        """``{"package"}`` of one on the device, or ``{"url"}``, with ``package`` and ``digest`` to check."""
        try:
            order = asyncio.ensure_future(self._updates.activate(parse_wish(payload)))
        except SkerryError as exc:
            return _refusal(exc)
        done, _ = await asyncio.wait((order,), timeout=METHOD_WAIT_S)
        if not done:
            order.add_done_callback(_seen)
            return MethodResponse(UNDER_WAY, self.status())
        error = order.exception()
        if isinstance(error, SkerryError):
            return _refusal(error)
        await order
        return MethodResponse(DONE, self.status())

    async def rollback(self) -> MethodResponse:
        """The model before serves again."""
        try:
            await self._updates.rollback()
        except SkerryError as exc:
            return _refusal(exc)
        return MethodResponse(DONE, self.status())

    def status(self) -> dict[str, Json]:
        """What is served, what was before, and what is under way."""
        updates = self._updates
        previous = updates.record.previous
        state, reason = updates.progress.state, updates.progress.reason
        if self._problem is not None and state == "active":
            state, reason = "failed", str(self._problem)
        return {
            "active": updates.active.kept.to_json(),
            "previous": previous.to_json() if previous else None,
            "state": state,
            "reason": reason[:REASON_CHARACTERS_MAX] or None,
        }

    def reported(self) -> dict[str, Json]:
        """The reported properties but for ``model``, whose acknowledgement is ``acknowledgement``."""
        wish, active = self._wish, self._updates.active.kept
        named = wish.file_name if wish is not None and active.key == wish.key else None
        return {"modelStatus": self.status(), **({LATEST: named} if named else {})}

    def acknowledgement(self) -> dict[str, Json]:
        """``value, ac, av, ad`` of what the twin asks (IoT Plug and Play); all null once it asks nothing."""
        if self._wish is None and self._problem is None:
            # Before the twin came nothing is known, and what was reported before the start stands.
            return dict.fromkeys(("value", "ac", "av", "ad")) if self._version else {}
        code, description = self._outcome()
        return {
            "value": {"package": self._updates.active.kept.package},
            "ac": code,
            "av": self._version,
            "ad": description[:REASON_CHARACTERS_MAX],
        }

    def _outcome(self) -> tuple[int, str]:
        if self._problem is not None:
            return status_of(self._problem), str(self._problem)
        wish, progress, active = self._wish, self._updates.progress, self._updates.active.kept
        assert wish is not None
        if wish.package == active.package or wish.key == active.key:
            return DONE, "active"
        if progress.key == wish.key and progress.state == "failed" and progress.error is not None:
            return status_of(progress.error), progress.reason
        given_up = progress.key == wish.key and progress.state == "active"
        if given_up or wish.key == self._updates.record.handled:
            return SET_ASIDE, "set aside by a direct method"
        return UNDER_WAY, f"{progress.state}: {progress.reason}" if progress.reason else progress.state

    def _wished(self) -> Wish | None:
        if self._desired.get(MODEL) is not None:
            return parse_wish(self._desired[MODEL])
        if all(self._desired.get(name) is None for name in DOWNLOAD):
            return None
        return parse_download(self._desired)


def status_of(error: SkerryError) -> int:
    """The status of an acknowledgement or a method's answer."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 400)


def _refusal(error: SkerryError) -> MethodResponse:
    return MethodResponse(status_of(error), {"message": str(error)})


def _seen(order: asyncio.Future[None]) -> None:
    """Nobody waits any more; the twin tells how it ended."""
    if not order.cancelled():
        order.exception()
