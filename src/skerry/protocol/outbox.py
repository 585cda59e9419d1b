"""What a device has sent and the hub has not acknowledged yet: it outlives the connection, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from skerry.contract.message import MESSAGE_BYTES_MAX
from skerry.errors import SkerryError, TooLarge, Unavailable
from skerry.mqtt.outcome import Outcome

# topic, payload, dup → settled on PUBACK
PublishOnce = Callable[[str | bytes, bytes, bool], Outcome]


def check_size(size: int) -> None:
    """Raise TooLarge for a message, with its bag, that the hub would refuse."""
    if size > MESSAGE_BYTES_MAX:
        raise TooLarge("a message is over 256 KiB", bytes=size, bytes_max=MESSAGE_BYTES_MAX)


@dataclass(slots=True)
class _Entry:
    topic: str | bytes
    payload: bytes
    done: Outcome
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
            done = self.post(topic, payload)
            try:
                await done
            finally:
                # Nothing happens when it is settled.
                done.settle(Unavailable("its sender waits no more"))

    def post(self, topic: str | bytes, payload: bytes) -> Outcome:
        """``send`` for who bounds what is under way itself; settling the outcome takes the message back."""
        done = Outcome()
        if self._stopped is not None:
            done.settle(Unavailable(self._stopped))
            return done
        number, entry = self._next, _Entry(topic, payload, done)
        self._next += 1
        self._entries[number] = entry
        done.then(partial(self._forget, number))
        self._try(number, entry)
        return done

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
        for entry in list(self._entries.values()):
            entry.done.settle(Unavailable(reason))

    def _try(self, number: int, entry: _Entry) -> None:
        if self._publish is None or entry.done.settled:
            return
        delivery = self._publish(entry.topic, entry.payload, entry.sent)
        entry.sent = True
        delivery.then(partial(self._delivered, entry))

    def _delivered(self, entry: _Entry, delivery: Outcome) -> None:
        if entry.done.settled:
            return
        error = delivery.error
        if error is None:
            entry.done.settle()
        elif not isinstance(error, Unavailable):
            # Unavailable: the connection ended, and the next ``attach`` sends it again.
            entry.done.settle(error if isinstance(error, SkerryError) else Unavailable(str(error)))

    def _forget(self, number: int, _: Outcome) -> None:
        self._entries.pop(number, None)
