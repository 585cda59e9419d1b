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
from skerry.edge.hub.envelope import EPOCH_PROPERTY, SEQUENCE_PROPERTY, seal
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
        bags = _Bags(sender, iso(self._clock.now()))
        for arrival in arrivals:
            body = arrival.message.body
            plain, roomy = bags.plain(arrival.message)
            for destination in arrival.destinations:
                bag = plain
                if destination.endpoint == upstream and roomy:
                    number, last_upstream = number + 1, len(entries)
                    bag = bags.numbered(arrival.message, number, epoch)
                entries.append(seal(destination, sender, bag, body))
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

    def _check_room(self, entries: Sequence[Entry]) -> None:
        if self.bytes_max is not None:
            held = sum(length.size for length in self._queue.lengths().values())
            if held + sum(entry.size for entry in entries) > self.bytes_max:
                raise StorageFull(
                    f"the store holds {held} bytes and its bound is {self.bytes_max}",
                    hint="raise storeAndForwardConfiguration.storeLimits.maxSizeBytes",
                )


class _Bags:
    """The encoded properties of one batch, stamped with who sent it when.

    A sender mostly repeats its properties, and then they come as the very same objects: encoded once.
    """

    def __init__(self, sender: Identity, now: str) -> None:
        self._sender = sender
        self._now = now
        self._known: dict[tuple[int, int], str] = {}

    def plain(self, message: Message) -> tuple[str, bool]:
        """The bag, and whether the message has room for properties of ours, as those in it."""
        key = (id(message.properties), id(message.system))
        small = len(message.body) < MESSAGE_BYTES_MAX // 2
        if small and (known := self._known.get(key)) is not None:
            return known, True
        if not _has_room(message):
            return encode_bag(message), False
        bag = encode_bag(self._stamped(message))
        if small:
            self._known[key] = bag
        return bag, True

    def numbered(self, message: Message, number: int, epoch: str) -> str:
        """The bag of a message with room, with the ledger's number."""
        if SEQUENCE_PROPERTY in message.properties or EPOCH_PROPERTY in message.properties:
            ours = {SEQUENCE_PROPERTY: str(number), EPOCH_PROPERTY: epoch}
            return encode_bag(self._stamped(message).with_properties(ours))
        return f"{self.plain(message)[0]}&{SEQUENCE_PROPERTY}={number}&{EPOCH_PROPERTY}={epoch}"

    def _stamped(self, message: Message) -> Message:
        """With the originator (contract.md §2.1) and, if the sender gave none, the time it was stored."""
        stamps = {"connectionDeviceId": str(self._sender.device)}
        if self._sender.module is not None:
            stamps["connectionModuleId"] = str(self._sender.module)
        if "creationTime" not in message.system:
            stamps["creationTime"] = self._now
        return message.with_system(stamps)


def _has_room(message: Message) -> bool:
    """A message at the very bound goes as it is: with our additions the hub would refuse it."""
    properties = sum(len(name) + len(value or "") for name, value in message.properties.items())
    if len(message.body) < MESSAGE_BYTES_MAX // 2 and properties < BAG_CHARS_MAX // 8:
        return True
    bag = len(encode_bag(message)) + OWN_PROPERTIES_BYTES
    return bag <= BAG_CHARS_MAX and len(message.body) + bag <= MESSAGE_BYTES_MAX


def _told(error: BaseException) -> BaseException:
    return error if isinstance(error, Exception) else asyncio.CancelledError()
