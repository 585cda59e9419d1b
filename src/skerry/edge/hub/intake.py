"""Takes messages in: numbers, stores, then answers.

Per sender one append is under way at a time and what arrives meanwhile goes with the next one: order and
numbers without gaps are free, and the store's group commit joins the senders.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from skerry.clock import Clock, iso
from skerry.contract.message import BAG_CHARS_MAX, MESSAGE_BYTES_MAX, Message, encode_bag
from skerry.contract.names import Identity
from skerry.edge.hub.envelope import EPOCH_PROPERTY, SEQUENCE_PROPERTY, Envelope, pack
from skerry.edge.hub.ledger import Ledger
from skerry.edge.hub.router import Destination, upstream_endpoint
from skerry.errors import SkerryError, StorageFull
from skerry.store.queue import Entry, Queue

log = logging.getLogger(__name__)

# Room that our own properties take in the bag, generously.
OWN_PROPERTIES_BYTES = 512


@dataclass
class _Arrival:
    message: Message
    destinations: Sequence[Destination]
    done: asyncio.Future[None]


class Intake:
    """Stores what senders send; ``appended`` is told each entry that is durable now."""

    def __init__(
        self, queue: Queue, ledger: Ledger, *, clock: Clock, appended: Callable[[Destination], None]
    ) -> None:
        self._queue = queue
        self._ledger = ledger
        self._clock = clock
        self._appended = appended
        self._waiting: dict[Identity, list[_Arrival]] = {}
        self._pumps: set[asyncio.Task[None]] = set()
        self.bytes_max: int | None = None

    def accept(
        self, sender: Identity, message: Message, destinations: Sequence[Destination]
    ) -> asyncio.Future[None]:
        """Resolves once the message is durable for all ``destinations``; else the store's error."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        arrivals = self._waiting.get(sender)
        if arrivals is None:
            self._waiting[sender] = [_Arrival(message, destinations, done)]
            pump = asyncio.create_task(self._pump(sender))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)
        else:
            arrivals.append(_Arrival(message, destinations, done))
        return done

    async def close(self) -> None:
        """Let what is under way finish."""
        await asyncio.gather(*self._pumps)

    async def _pump(self, sender: Identity) -> None:
        while arrivals := self._waiting[sender]:
            self._waiting[sender] = []
            try:
                await self._store(sender, arrivals)
            # Whatever it is, each sender of this batch must hear of it rather than wait for ever.
            except BaseException as error:
                for arrival in [*arrivals, *self._waiting.pop(sender)]:
                    if not arrival.done.done():
                        arrival.done.set_exception(_told(error))
                raise
        del self._waiting[sender]

    async def _store(self, sender: Identity, arrivals: Sequence[_Arrival]) -> None:
        epoch = await self._ledger.epoch(sender)
        number = self._ledger.last(sender)
        upstream = upstream_endpoint(sender)
        entries: list[Entry] = []
        last_upstream = -1
        for arrival in arrivals:
            message = self._stamped(sender, arrival.message)
            for destination in arrival.destinations:
                if destination.endpoint == upstream and _has_room(arrival.message):
                    number, last_upstream = number + 1, len(entries)
                    numbered = {SEQUENCE_PROPERTY: str(number), EPOCH_PROPERTY: epoch}
                    entries.append(pack(destination, Envelope(sender, message.with_properties(numbered))))
                else:
                    entries.append(pack(destination, Envelope(sender, message)))
        try:
            self._check_room(entries)
            sequences = await self._queue.append(entries)
        except SkerryError as error:
            log.warning("refused %d messages of %s: %s", len(arrivals), sender.client_id, error)
            for arrival in arrivals:
                arrival.done.set_exception(error)
            return
        if last_upstream >= 0:
            await self._ledger.committed(sender, number, sequences[last_upstream])
        for arrival in arrivals:
            if not arrival.done.done():
                arrival.done.set_result(None)
            for destination in arrival.destinations:
                self._appended(destination)

    def _stamped(self, sender: Identity, message: Message) -> Message:
        """With the originator (contract.md §2.1) and, if the sender gave none, the time it was stored."""
        if not _has_room(message):
            return message
        stamps = {"connectionDeviceId": str(sender.device)}
        if sender.module is not None:
            stamps["connectionModuleId"] = str(sender.module)
        if "creationTime" not in message.system:
            stamps["creationTime"] = iso(self._clock.now())
        return message.with_system(stamps)

    def _check_room(self, entries: Sequence[Entry]) -> None:
        if self.bytes_max is not None:
            held = sum(length.size for length in self._queue.lengths().values())
            if held + sum(entry.size for entry in entries) > self.bytes_max:
                raise StorageFull(
                    f"the store holds {held} bytes and its bound is {self.bytes_max}",
                    hint="raise storeAndForwardConfiguration.storeLimits.maxSizeBytes",
                )


def _has_room(message: Message) -> bool:
    """A message at the very bound goes as it is: with our additions the hub would refuse it."""
    properties = sum(len(name) + len(value or "") for name, value in message.properties.items())
    if len(message.body) < MESSAGE_BYTES_MAX // 2 and properties < BAG_CHARS_MAX // 8:
        return True
    bag = len(encode_bag(message)) + OWN_PROPERTIES_BYTES
    return bag <= BAG_CHARS_MAX and len(message.body) + bag <= MESSAGE_BYTES_MAX


def _told(error: BaseException) -> BaseException:
    return error if isinstance(error, Exception) else asyncio.CancelledError()
