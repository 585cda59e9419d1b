"""Deliveries: in order, within the window, for ever."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from skerry.clock import SystemClock
from skerry.edge.hub.forwarder import Forwarder
from skerry.errors import InvalidInput, Unavailable
from skerry.store.queue import Entry, Queue, Stored

ENDPOINT = "input/cnn/image"


class Peer:
    """An endpoint that can be away, slow or faulty."""

    def __init__(self) -> None:
        self.present = asyncio.Event()
        self.present.set()
        self.got: list[bytes] = []
        self.under_way = 0
        self.most = 0
        self.fault: Callable[[Stored], Exception | None] = lambda stored: None

    async def ready(self) -> None:
        await self.present.wait()

    async def deliver(self, stored: Stored) -> None:
        if not self.present.is_set():
            raise Unavailable("away")
        if (fault := self.fault(stored)) is not None:
            raise fault
        self.got.append(stored.body)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.001)
        self.under_way -= 1


async def put(queue: Queue, *bodies: bytes, priority: int = 5) -> None:
    await queue.append([Entry(ENDPOINT, priority, None, body, b"") for body in bodies])


@asynccontextmanager
async def forwarding(queue: Queue, peer: Peer, window: int = 10) -> AsyncIterator[Forwarder]:
    forwarder = Forwarder(ENDPOINT, queue, peer.deliver, peer.ready, clock=SystemClock(), window=window)
    task = asyncio.create_task(forwarder.run())
    try:
        yield forwarder
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def drained(queue: Queue) -> None:
    async with asyncio.timeout(10):
        while queue.lengths():
            await asyncio.sleep(0.005)


async def test_everything_queued_and_what_comes_later_is_delivered_in_order(queue: Queue) -> None:
    peer = Peer()
    await put(queue, *(b"%d" % n for n in range(100)))
    async with forwarding(queue, peer) as forwarder:
        await drained(queue)
        await put(queue, *(b"%d" % n for n in range(100, 130)))
        await drained(queue)
    assert peer.got == [b"%d" % n for n in range(130)]
    assert peer.most == 10
    assert forwarder.sent == 130


async def test_a_better_priority_overtakes_what_was_not_sent_yet(queue: Queue) -> None:
    peer = Peer()
    await put(queue, *(b"%d" % n for n in range(50)))
    async with forwarding(queue, peer, window=2) as forwarder:
        await asyncio.sleep(0.01)
        await put(queue, b"urgent", priority=0)
        forwarder.appended(0)
        await drained(queue)
    assert peer.got.index(b"urgent") < 40
    assert [body for body in peer.got if body != b"urgent"] == [b"%d" % n for n in range(50)]


@pytest.mark.parametrize("seed", range(3))
async def test_a_flapping_endpoint_gets_everything_at_least_once_and_first_arrivals_in_order(
    queue: Queue, seed: int
) -> None:
    roll, peer = random.Random(seed), Peer()
    await put(queue, *(b"%d" % n for n in range(200)))
    async with forwarding(queue, peer):
        for _ in range(8):
            await asyncio.sleep(roll.random() * 0.02)
            peer.present.clear()
            await asyncio.sleep(roll.random() * 0.02)
            peer.present.set()
        await drained(queue)
    assert list(dict.fromkeys(peer.got)) == [b"%d" % n for n in range(200)]


async def test_what_can_never_be_delivered_is_dropped_and_counted(queue: Queue) -> None:
    peer = Peer()
    peer.fault = lambda stored: InvalidInput("poison") if stored.body == b"bad" else None
    await put(queue, b"1", b"bad", b"2")
    async with forwarding(queue, peer) as forwarder:
        await drained(queue)
    assert peer.got == [b"1", b"2"]
    assert (forwarder.sent, forwarder.dropped) == (2, 1)


async def test_entries_are_only_removed_after_the_hook(queue: Queue) -> None:
    peer, lengths = Peer(), []

    async def before_remove(gone: object) -> None:
        lengths.append(queue.lengths()[ENDPOINT].messages)

    await put(queue, b"1")
    forwarder = Forwarder(
        ENDPOINT, queue, peer.deliver, peer.ready, clock=SystemClock(), before_remove=before_remove
    )
    task = asyncio.create_task(forwarder.run())
    await drained(queue)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert lengths == [1]
