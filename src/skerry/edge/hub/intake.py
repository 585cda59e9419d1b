"""Takes messages in: numbers, stores, then answers.

One append is under way at a time and what arrives meanwhile, from whomever, goes with the next one: order and
numbers without gaps are free, and all of it shares one commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from skerry.clock import Clock, iso
from skerry.contract.chain import digest
from skerry.contract.message import Message
from skerry.contract.names import Identity
from skerry.edge.hub.bags import Bags, time_suffix
from skerry.edge.hub.ledger import Ledger, Newest
from skerry.edge.hub.limits import UNLIMITED, EndpointLimits, Policy, less, surplus
from skerry.edge.hub.router import Destination, upstream_endpoint, upstream_sender
from skerry.errors import SkerryError, StorageFull
from skerry.mqtt.outcome import Outcome
from skerry.store.queue import Entry, Length, Queue

log = logging.getLogger(__name__)

# So many messages are encoded without letting anybody else run: some milliseconds.
BATCH_MAX = 1024
EMPTY = Length(0, 0)

# Told how many messages of an endpoint were dropped to keep within its limits.
Dropped = Callable[[str, int], None]


class _Arrival(NamedTuple):
    sender: Identity
    message: Message
    destinations: Sequence[Destination]


class _Batch:
    """What shares an append; what one sender has in it ends one way."""

    __slots__ = ("arrivals", "outcomes")

    def __init__(self) -> None:
        self.arrivals: list[_Arrival] = []
        self.outcomes: dict[Identity, Outcome] = {}

    def settle(self, senders: Iterable[Identity], error: BaseException | None = None) -> None:
        for sender in senders:
            self.outcomes[sender].settle(error)


@dataclass(slots=True)
class _Count:
    """Where a sender's numbers are in the batch that is being made."""

    epoch: bytes
    number: int
    head: str
    entry: int = -1


class Intake:
    """Stores what senders send; ``appended`` is told each entry that is durable now."""

    def __init__(
        self,
        queue: Queue,
        ledger: Ledger,
        *,
        clock: Clock,
        appended: Callable[[Destination], None],
        dropped: Dropped = lambda endpoint, count: None,
    ) -> None:
        self._queue = queue
        self._ledger = ledger
        self._clock = clock
        self._appended = appended
        self._dropped = dropped
        self._waiting: deque[_Batch] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._bags = Bags()
        self.bytes_max: int | None = None
        self.limits: EndpointLimits = UNLIMITED
        self.refused = 0

    def accept(self, sender: Identity, message: Message, destinations: Sequence[Destination]) -> Outcome:
        """Settled once the message is durable for all ``destinations``; else with the store's error."""
        waiting = self._waiting
        if not waiting or len(waiting[-1].arrivals) >= BATCH_MAX:
            waiting.append(_Batch())
        batch = waiting[-1]
        batch.arrivals.append(_Arrival(sender, message, destinations))
        outcome = batch.outcomes.get(sender)
        if outcome is None:
            outcome = batch.outcomes[sender] = Outcome()
        if self._pump is None:
            self._pump = asyncio.create_task(self._run())
        return outcome

    async def close(self) -> None:
        """Let what is under way finish."""
        if self._pump is not None:
            await self._pump

    async def _run(self) -> None:
        batch = _Batch()
        try:
            while self._waiting:
                batch = self._waiting.popleft()
                await self._store_or_refuse(batch)
        # Whatever it is, each sender must hear of it rather than wait for ever.
        except BaseException as error:
            told = error if isinstance(error, Exception) else asyncio.CancelledError()
            for left in [batch, *self._waiting]:
                left.settle(left.outcomes, told)
            self._waiting.clear()
            raise
        finally:
            self._pump = None

    async def _store_or_refuse(self, batch: _Batch) -> None:
        """Store all; when there is no room for that, each sender's part that there is room for."""
        try:
            await self._store(batch.arrivals)
        except StorageFull as error:
            if len(batch.outcomes) > 1:
                await self._store_parts(batch)
            else:
                self._refuse(batch, batch.outcomes, error)
        except SkerryError as error:
            self._refuse(batch, batch.outcomes, error)
        else:
            batch.settle(batch.outcomes)

    async def _store_parts(self, batch: _Batch) -> None:
        for sender in batch.outcomes:
            try:
                await self._store([arrival for arrival in batch.arrivals if arrival.sender == sender])
            except SkerryError as error:
                self._refuse(batch, [sender], error)
            else:
                batch.settle([sender])

    def _refuse(self, batch: _Batch, senders: Collection[Identity], error: SkerryError) -> None:
        count = sum(1 for arrival in batch.arrivals if arrival.sender in senders)
        self.refused += count
        log.warning("refused %d messages of %s: %s", count, next(iter(senders)).client_id, error)
        batch.settle(senders, error)

    async def _store(self, arrivals: Sequence[_Arrival]) -> None:
        senders = {arrival.sender for arrival in arrivals}
        await self._ledger.introduce(senders)
        counts = {
            sender: _Count(
                self._ledger.epoch(sender).encode(), self._ledger.last(sender), self._ledger.head(sender)
            )
            for sender in senders
        }
        entries = self._entries(arrivals, counts)
        if self.bytes_max is not None:
            self._check_room(entries, self.bytes_max)
        gone = await self._within_limits(entries) if self.limits != UNLIMITED else set()
        kept = [entry for index, entry in enumerate(entries) if index not in gone] if gone else entries
        sequences = await self._queue.append(kept)
        stored = (
            {index: sequences[at] for at, index in enumerate(_others(len(entries), gone))} if gone else None
        )
        newest: dict[Identity, Newest] = {}
        for sender, count in counts.items():
            last = count.entry if stored is None else _last_stored(entries, sender, stored)
            if last >= 0:
                entry = sequences[last] if stored is None else stored[last]
                newest[sender] = Newest(count.number, entry, count.head)
        if newest:
            await self._ledger.committed(newest)
        # Mostly the very same list, as the router remembers it.
        for destination in {id(arrival.destinations): arrival.destinations for arrival in arrivals}.values():
            for one in destination:
                self._appended(one)

    def _entries(self, arrivals: Sequence[_Arrival], counts: Mapping[Identity, _Count]) -> list[Entry]:
        now = self._clock.now()
        suffix, stored_at = time_suffix(iso(now)), now.timestamp()
        entries: list[Entry] = []
        for sender, message, destinations in arrivals:
            stamped = self._bags.stamped(sender, message)
            for destination in destinations:
                endpoint, life_s = destination.endpoint, destination.life_s
                if endpoint == stamped.upstream and stamped.roomy:
                    count = counts[sender]
                    count.number, count.entry, previous = count.number + 1, len(entries), count.head
                    headers = stamped.numbered(suffix, count.number, count.epoch, previous.encode())
                    if previous:
                        count.head = digest(previous, count.number, stamped.digest, message.body)
                else:
                    headers = stamped.plain(suffix)
                expires_at = None if life_s is None else stored_at + life_s
                entries.append(Entry(endpoint, destination.priority, expires_at, message.body, headers))
        return entries

    def _check_room(self, entries: Sequence[Entry], bytes_max: int) -> None:
        held = self._queue.bytes_held
        if held + sum(entry.size for entry in entries) > bytes_max:
            raise StorageFull(
                f"the store holds {held} bytes and its bound is {bytes_max}",
                hint="raise storeAndForwardConfiguration.storeLimits.maxSizeBytes",
            )

    async def _within_limits(self, entries: Sequence[Entry]) -> set[int]:
        """Make room in full queues as their policy says; the indexes of newcomers that go themselves."""
        by_endpoint: dict[str, list[int]] = {}
        for index, entry in enumerate(entries):
            by_endpoint.setdefault(entry.endpoint, []).append(index)
        lengths = self._queue.lengths()
        excesses = {
            endpoint: self.limits.excess(
                lengths.get(endpoint, EMPTY), len(places), sum(entries[place].size for place in places)
            )
            for endpoint, places in by_endpoint.items()
        }
        full = {endpoint: excess for endpoint, excess in excesses.items() if excess != EMPTY}
        if full and self.limits.policy is Policy.REJECT:
            raise StorageFull(f"the queue of {', '.join(sorted(full))} is full", hint="it drains when it can")
        gone: set[int] = set()
        for endpoint, excess in full.items():
            places = by_endpoint[endpoint]
            gone |= await self._make_room(endpoint, [entries[place] for place in places], places, excess)
        return gone

    async def _make_room(
        self, endpoint: str, newcomers: Sequence[Entry], places: Sequence[int], excess: Length
    ) -> set[int]:
        if upstream_sender(endpoint) is not None:
            # The numbers of what goes must not be given again.
            await self._ledger.settle_all()
        classes: list[int | None] = [None]
        if self.limits.policy is Policy.DROP_LOWEST_PRIORITY:
            classes = [*sorted({entry.priority for entry in newcomers}, reverse=True)]
        gone: set[int] = set()
        dropped = 0
        for least in classes:
            freed = await self._queue.make_room(endpoint, *excess, priority_min=least)
            own = surplus(newcomers, less(excess, freed), least)
            gone |= own
            dropped += freed.messages + len(own)
            excess = less(less(excess, freed), Length(len(own), sum(newcomers[index].size for index in own)))
        self._dropped(endpoint, dropped)
        return {places[index] for index in gone}


def _others(count: int, gone: set[int]) -> list[int]:
    return [index for index in range(count) if index not in gone]


def _last_stored(entries: Sequence[Entry], sender: Identity, stored: Mapping[int, int]) -> int:
    """The index of the sender's last stored entry for the hub, -1 when there is none."""
    endpoint = upstream_endpoint(sender)
    return max((index for index in stored if entries[index].endpoint == endpoint), default=-1)
