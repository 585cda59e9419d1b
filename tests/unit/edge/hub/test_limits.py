"""A full queue does what its policy says, and every drop is counted."""

from __future__ import annotations

from collections import Counter

import pytest

from skerry.clock import ManualClock
from skerry.contract.message import Message
from skerry.edge.hub.envelope import unpack
from skerry.edge.hub.intake import Intake
from skerry.edge.hub.ledger import Ledger
from skerry.edge.hub.limits import UNLIMITED, EndpointLimits, Policy, parse_limits
from skerry.edge.hub.router import Destination, upstream_endpoint
from skerry.errors import InvalidInput, StorageFull
from skerry.store.database import Database
from skerry.store.documents import Documents
from skerry.store.queue import Queue
from tests.support.edge import module

CNN = module("cnn")
ENDPOINT = upstream_endpoint(CNN)


class Full:
    """An intake with limits, and what it dropped."""

    def __init__(self, queue: Queue, database: Database, clock: ManualClock, limits: EndpointLimits) -> None:
        self.dropped: Counter[str] = Counter()
        self.queue = queue
        ledger = Ledger(queue, Documents(database, "ledger"))
        self.intake = Intake(queue, ledger, clock=clock, appended=lambda _: None, dropped=self._count)
        self.intake.limits = limits

    def _count(self, endpoint: str, count: int) -> None:
        self.dropped[endpoint] += count

    async def send(self, *bodies: bytes, priority: int = 5) -> None:
        destination = Destination(ENDPOINT, priority, None)
        waits = [self.intake.accept(CNN, Message(body), [destination]) for body in bodies]
        for wait in waits:
            await wait

    async def held(self) -> list[bytes]:
        return [stored.body for stored in await self.queue.peek(ENDPOINT, None, 1000)]


async def test_reject_refuses_and_loses_nothing(queue: Queue, database: Database, clock: ManualClock) -> None:
    full = Full(queue, database, clock, EndpointLimits(max_messages=2))
    await full.send(b"1", b"2")
    with pytest.raises(StorageFull):
        await full.send(b"3")
    assert await full.held() == [b"1", b"2"]
    assert (full.intake.refused, full.dropped.total()) == (1, 0)


async def test_drop_oldest_keeps_the_newest(queue: Queue, database: Database, clock: ManualClock) -> None:
    full = Full(queue, database, clock, EndpointLimits(max_messages=3, policy=Policy.DROP_OLDEST))
    for number in range(10):
        await full.send(b"%d" % number)
    assert await full.held() == [b"7", b"8", b"9"]
    await full.send(*(b"%d" % number for number in range(10, 15)))
    assert await full.held() == [b"12", b"13", b"14"]
    assert full.dropped == {ENDPOINT: 12}
    # The hub sees the gap: what was dropped used its number.
    numbers = [unpack(stored).sequence for stored in await queue.peek(ENDPOINT, None, 10)]
    assert numbers == [13, 14, 15]


async def test_drop_lowest_priority_keeps_the_urgent(
    queue: Queue, database: Database, clock: ManualClock
) -> None:
    limits = EndpointLimits(max_messages=3, policy=Policy.DROP_LOWEST_PRIORITY)
    full = Full(queue, database, clock, limits)
    await full.send(b"urgent", priority=0)
    await full.send(b"old", b"new", priority=7)
    await full.send(b"usual", priority=5)
    assert await full.held() == [b"urgent", b"usual", b"new"]
    await full.send(b"idle talk", priority=9)
    assert await full.held() == [b"urgent", b"usual", b"new"]
    await full.send(b"alarm", b"second alarm", b"third alarm", priority=0)
    assert await full.held() == [b"alarm", b"second alarm", b"third alarm"]
    assert full.dropped == {ENDPOINT: 5}


async def test_bytes_are_bounded_too(queue: Queue, database: Database, clock: ManualClock) -> None:
    limits = EndpointLimits(max_size_bytes=4000, policy=Policy.DROP_OLDEST)
    full = Full(queue, database, clock, limits)
    for _ in range(20):
        await full.send(b"x" * 900)
        assert queue.lengths()[ENDPOINT].size <= 4000
    assert full.dropped[ENDPOINT] + len(await full.held()) == 20


async def test_numbers_go_on_after_drops_and_a_restart(
    queue: Queue, database: Database, clock: ManualClock
) -> None:
    full = Full(queue, database, clock, EndpointLimits(max_messages=2, policy=Policy.DROP_OLDEST))
    await full.send(*(b"%d" % number for number in range(9)))
    again = Ledger(queue, Documents(database, "ledger"))
    await again.load()
    assert again.last(CNN) == 9


def test_limits_are_read_from_the_manifest() -> None:
    def document(**limits: object) -> dict[str, object]:
        return {"storeAndForwardConfiguration": {"timeToLiveSecs": 1, "storeLimits": {"perEndpoint": limits}}}

    given = document(maxSizeBytes=10, maxMessages=3, policy="dropOldest")
    assert parse_limits(given) == EndpointLimits(10, 3, Policy.DROP_OLDEST)
    assert parse_limits({"storeAndForwardConfiguration": {"timeToLiveSecs": 1}}) == UNLIMITED
    with pytest.raises(InvalidInput, match="policy") as caught:
        parse_limits(document(policy="lose"))
    assert str(caught.value.fields["path"]).endswith("perEndpoint.policy")
