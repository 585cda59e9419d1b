"""What the hub receives during the demo, as it arrives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from skerry.clock import Clock
from skerry.errors import TimedOut, Unavailable
from skerry.hub.client import ServiceClient

log = logging.getLogger(__name__)

RETRY_S = 0.2


@dataclass(frozen=True, slots=True)
class Seen:
    """One prediction at the hub: which frame it is of, what the CNN said, how long it took."""

    sequence: int
    frame: str
    truth: str | None
    label: str | None
    top: tuple[tuple[str, float], ...]
    model: str
    inference_ms: float
    end_to_end_ms: float


class Watch:
    """Collects the predictions of one device's CNN module, each arrival in its order."""

    def __init__(self, client: ServiceClient, device: str, module: str, clock: Clock) -> None:
        self._client = client
        self._device = device
        self._module = module
        self._clock = clock
        self._changed = asyncio.Condition()
        self.arrivals: list[Seen] = []
        self.errors: list[str] = []

    async def run(self) -> None:
        """Read the event stream for ever, going on from the last event after a break."""
        position: str | int = "earliest"
        while True:
            try:
                async for event in self._client.events(position, device=self._device, module=self._module):
                    position = event["sequence"]
                    await self._take(event)
            except Unavailable as error:
                log.info("event stream: %s", error)
                await self._clock.sleep(RETRY_S)

    def distinct(self) -> int:
        """How many different frames have a prediction."""
        return len({seen.sequence for seen in self.arrivals})

    async def until(self, done: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait until ``done`` after an arrival; TimedOut with counts when it does not come."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(done)
        except TimeoutError:
            raise TimedOut(
                f"{what}: {self.distinct()} different predictions after {timeout_s:.0f} s",
                hint="the logs of hub and edge are in the demo's folder",
                errors="; ".join(self.errors[-3:]),
            ) from None

    async def _take(self, event: dict[str, Any]) -> None:
        properties, body = event["properties"], event.get("body")
        async with self._changed:
            if properties.get("AzureMLResponse") == "OK" and isinstance(body, dict):
                self.arrivals.append(_seen(event, properties, body))
            else:
                self.errors.append(str(body))
            self._changed.notify_all()


def _seen(event: dict[str, Any], properties: dict[str, Any], body: dict[str, Any]) -> Seen:
    predicted = datetime.fromisoformat(body["time"])
    arrived = datetime.fromisoformat(event["enqueuedTime"])
    return Seen(
        sequence=int(properties["sequence"]),
        frame=str(properties["frame"]),
        truth=properties.get("truth"),
        label=body["label"],
        top=tuple((one["label"], one["score"]) for one in body["predictions"]),
        model=body["model"],
        inference_ms=float(body["latencyMs"]["total"]),
        end_to_end_ms=(arrived - predicted).total_seconds() * 1000,
    )
