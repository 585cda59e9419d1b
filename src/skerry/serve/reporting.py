"""Reported properties on their way to the hub: the newest value of each, however long the hub is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from skerry.clock import Clock
from skerry.errors import InvalidInput, SkerryError
from skerry.protocol.client import DeviceClient

log = logging.getLogger(__name__)

Json = Any

# Between tries to report what the hub could not take.
REPORT_RETRY_S = 5.0


class Reporter:
    """Collects from ``report`` at once, sends from ``start`` to ``close``."""

    def __init__(self, client: DeviceClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._pending: dict[str, Json] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def report(self, properties: Mapping[str, Json]) -> None:
        """Have these reported; a later value of a property replaces one that has not left yet."""
        self._pending.update(properties)
        self._wake.set()

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._keep_sending(), name="reported properties")

    async def close(self) -> None:
        """Send no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _keep_sending(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            pending, self._pending = self._pending, {}
            try:
                if pending:
                    await self._client.report(pending)
            except InvalidInput as exc:
                log.warning("the hub refuses these reported properties: %s", exc)
            except SkerryError as exc:
                log.info("not reported yet: %s", exc)
                await self._clock.sleep(REPORT_RETRY_S)
                self.report({**pending, **self._pending})
