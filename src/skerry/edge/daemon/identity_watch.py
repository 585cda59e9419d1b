"""Keeps the identities in step with the hub: the first contact, then now and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from skerry.clock import Clock
from skerry.contract.names import ModuleId
from skerry.edge.daemon.identities import Identities, ensure_system_identities
from skerry.errors import NotAllowed, NotAuthenticated, SkerryError

log = logging.getLogger(__name__)

# The hub is away, or gave new keys while we were: ask rather soon. edgeHub itself asks every hour.
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 60.0
REFRESH_EVERY_S = 3600.0
REFUSED_HINT = "give it its present connection string with: skerry edge provision --force"


class IdentityWatch:
    """``changed`` is called when keys or generations are new; ``wanted`` says which modules are deployed."""

    def __init__(
        self,
        identities: Identities,
        *,
        connected: Callable[[], bool],
        changed: Callable[[], None],
        wanted: Callable[[ModuleId], bool] = lambda _: True,
        clock: Clock,
    ) -> None:
        self._identities = identities
        self._connected = connected
        self._changed = changed
        self._wanted = wanted
        self._clock = clock
        self._asked = asyncio.Event()
        self.last_error: SkerryError | None = None
        # Called each time the hub refuses the device itself.
        self.refused: Callable[[], None] = _nothing

    def ask(self) -> None:
        """The hub refused a key of ours: look soon whether there is a newer one."""
        self._asked.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        failures = 0
        while True:
            try:
                await ensure_system_identities(self._identities)
                asked = self._asked.is_set()
                self._asked.clear()
                if await self._identities.refresh(self._wanted):
                    self._changed()
                    asked = False
                # What was refused and did not change here may be refused for long: ask less and less often.
                failures = failures + 1 if asked else 0
                self.last_error = None
            except SkerryError as error:
                failures += 1
                self._complain(error)
            await self._wait(failures)

    def _complain(self, error: SkerryError) -> None:
        """Once per cause: a device may be refused, or offline, for weeks."""
        new = self.last_error is None or str(self.last_error) != str(error)
        self.last_error = error
        if isinstance(error, NotAuthenticated | NotAllowed):
            self.refused()
            level = logging.WARNING if new else logging.DEBUG
            log.log(level, "the hub refuses this device: %s; %s", error, REFUSED_HINT)
        else:
            log.log(logging.INFO if new else logging.DEBUG, "identities could not be read: %s", error)

    async def _wait(self, failures: int) -> None:
        if failures:
            await self._clock.sleep(min(RETRY_FIRST_S * 2 ** min(failures - 1, 10), RETRY_MAX_S))
            return
        waited = 0.0
        while waited < REFRESH_EVERY_S:
            if await self._asked_within(RETRY_MAX_S):
                return
            waited += RETRY_MAX_S
            # Cut off from the hub: perhaps because our keys are no longer the right ones.
            if not self._connected():
                return

    async def _asked_within(self, seconds: float) -> bool:
        alarm = asyncio.ensure_future(self._clock.sleep(seconds))
        asked = asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait([alarm, asked], return_when=asyncio.FIRST_COMPLETED)
            return asked.done()
        finally:
            alarm.cancel()
            asked.cancel()


def _nothing() -> None:
    """Nobody wants to know."""
