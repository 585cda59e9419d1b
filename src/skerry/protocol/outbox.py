"""What a device has sent and the hub has not acknowledged yet: it outlives the connection, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from skerry.errors import SkerryError, Unavailable
from skerry.mqtt.outcome import Outcome

# topic, payload, dup → settled on PUBACK
PublishOnce = Callable[[str, bytes, bool], Outcome]


@dataclass(slots=True)
class _Entry:
    topic: str
    payload: bytes
    done: asyncio.Future[None]
    sent: bool = False


class Outbox:
    """Sends each message until a connection acknowledges it; at most ``in_flight_max`` at a time."""

    def __init__(self, in_flight_max: int) -> None:
        self._room = asyncio.Semaphore(in_flight_max)
        self._entries: dict[int, _Entry] = {}
        self._next = 0
        self._publish: PublishOnce | None = None
        self._stopped: str | None = None

    def __len__(self) -> int:
        return len(self._entries)

    async def send(self, topic: str, payload: bytes) -> None:
        """Return on PUBACK, over however many connections; Unavailable once ``stop`` was called.

        A message whose sender is cancelled is not sent again.
        """
        async with self._room:
            if self._stopped is not None:
                raise Unavailable(self._stopped)
            number, entry = self._next, _Entry(topic, payload, asyncio.get_running_loop().create_future())
            self._next += 1
            self._entries[number] = entry
            try:
                self._try(number, entry)
                await entry.done
            finally:
                self._entries.pop(number, None)

    def attach(self, publish: PublishOnce) -> None:
        """A connection is there: everything unacknowledged goes over it, oldest first."""
        self._publish = publish
        for number, entry in list(self._entries.items()):
            self._try(number, entry)

    def detach(self) -> None:
        """No connection for now; what is sent meanwhile waits."""
        self._publish = None

    def stop(self, reason: str) -> None:
        """Nothing will be sent any more: all senders hear ``reason``."""
        self._publish = None
        self._stopped = reason
        for entry in self._entries.values():
            if not entry.done.done():
                entry.done.set_exception(Unavailable(reason))

    def _try(self, number: int, entry: _Entry) -> None:
        if self._publish is None or entry.done.done():
            return
        delivery = self._publish(entry.topic, entry.payload, entry.sent)
        entry.sent = True
        delivery.then(partial(self._delivered, entry))

    def _delivered(self, entry: _Entry, delivery: Outcome) -> None:
        if entry.done.done():
            return
        error = delivery.error
        if error is None:
            entry.done.set_result(None)
        elif not isinstance(error, Unavailable):
            # Unavailable: the connection ended, and the next ``attach`` sends it again.
            entry.done.set_exception(error if isinstance(error, SkerryError) else Unavailable(str(error)))
