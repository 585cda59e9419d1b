"""Keeps the identities in step with the hub: the first contact, then now and again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from skerry.clock import Clock
from skerry.edge.daemon.identities import Identities, ensure_system_identities
from skerry.errors import NotAllowed, NotAuthenticated, SkerryError

log = logging.getLogger(__name__)

# The hub is away, or gave new keys while we were: ask rather soon. edgeHub itself asks every hour.
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 60.0
REFRESH_EVERY_S = 3600.0
REFUSED_HINT = "give it its present connection string with: skerry edge provision --force"


class IdentityWatch:
    """``changed`` is called when keys or generations are new."""

    def __init__(
        self,
        identities: Identities,
        *,
        connected: Callable[[], bool],
        changed: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._identities = identities
        self._connected = connected
        self._changed = changed
        self._clock = clock
        self.last_error: SkerryError | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        failures = 0
        while True:
            try:
                await ensure_system_identities(self._identities)
                if await self._identities.refresh():
                    self._changed()
                failures = 0
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
            await self._clock.sleep(RETRY_MAX_S)
            waited += RETRY_MAX_S
            # Cut off from the hub: perhaps because our keys are no longer the right ones.
            if not self._connected():
                return
