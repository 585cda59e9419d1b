"""Messages are numbered without gaps and stored before they are acknowledged."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from skerry.clock import ManualClock
from skerry.contract.chain import EPOCH_PROPERTY, SEQUENCE_PROPERTY, Link
from skerry.contract.message import MESSAGE_BYTES_MAX, Message
from skerry.edge.hub.envelope import unpack
from skerry.edge.hub.intake import Intake
from skerry.edge.hub.ledger import Ledger
from skerry.edge.hub.router import Destination, input_endpoint, upstream_endpoint
from skerry.errors import StorageFull
from skerry.store.database import Database
from skerry.store.documents import Documents
from skerry.store.queue import Queue
from tests.support.edge import module

CAMERA = module("camera")
UP = Destination(upstream_endpoint(CAMERA), 5, None)
URGENT = Destination(upstream_endpoint(CAMERA), 0, None)
LOCAL = Destination(input_endpoint("cnn", "image"), 5, None)


async def intake_of(queue: Queue, database: Database, clock: ManualClock) -> Intake:
    ledger = Ledger(queue, Documents(database, "ledger"))
    await ledger.load()
    return Intake(queue, ledger, clock=clock, appended=lambda destination: None)


async def numbers(queue: Queue) -> list[int]:
    found = await queue.peek(UP.endpoint, None, 10_000)
    return sorted(unpack(stored).sequence or 0 for stored in found)


async def test_a_message_is_stored_for_every_endpoint_with_its_origin(
    queue: Queue, database: Database, clock: ManualClock
) -> None:
    intake = await intake_of(queue, database, clock)
    await intake.accept(CAMERA, Message(b"jpeg", {"q": "1"}), [LOCAL, UP])
    local = unpack((await queue.peek(LOCAL.endpoint, None, 9))[0])
    assert local.sender == CAMERA
    assert local.message.properties == {"q": "1"}
    assert local.message.system == {
        "connectionDeviceId": "edge-1",
        "connectionModuleId": "camera",
        "creationTime": "2026-01-01T00:00:00.000000Z",
    }
    up = unpack((await queue.peek(UP.endpoint, None, 9))[0])
    assert up.sequence == 1
    assert up.message.properties["q"] == "1"


async def test_numbers_go_on_after_a_restart_whatever_was_delivered(
    queue: Queue, database: Database, clock: ManualClock
) -> None:
    intake = await intake_of(queue, database, clock)
    await asyncio.gather(*(intake.accept(CAMERA, Message(b""), [UP, LOCAL]) for _ in range(7)))
    await intake.accept(CAMERA, Message(b""), [URGENT])
    intake = await intake_of(queue, database, clock)
    await intake.accept(CAMERA, Message(b""), [UP])
    assert await numbers(queue) == [*range(1, 10)]
    ledger = Ledger(queue, Documents(database, "ledger"))
    await ledger.load()
    stored = await queue.peek(UP.endpoint, None, 100)
    await ledger.settle(CAMERA, max(entry.sequence for entry in stored))
    await queue.remove(UP.endpoint, [entry.sequence for entry in stored])
    intake = await intake_of(queue, database, clock)
    await intake.accept(CAMERA, Message(b""), [UP])
    assert await numbers(queue) == [10]


async def test_a_refused_batch_leaves_no_gap(database: Database, clock: ManualClock, tmp_path: Path) -> None:
    queue = await Queue.open(tmp_path / "small.db", bytes_max=2000, clock=clock)
    try:
        intake = await intake_of(queue, database, clock)
        await intake.accept(CAMERA, Message(b"x" * 500), [UP])
        with pytest.raises(StorageFull):
            await intake.accept(CAMERA, Message(b"x" * 2000), [UP])
        await intake.accept(CAMERA, Message(b"x" * 500), [UP])
        assert await numbers(queue) == [1, 2]
    finally:
        await queue.close()


async def test_the_manifests_bound_is_kept(queue: Queue, database: Database, clock: ManualClock) -> None:
    intake = await intake_of(queue, database, clock)
    intake.bytes_max = 1000
    await intake.accept(CAMERA, Message(b"x" * 500), [UP])
    with pytest.raises(StorageFull, match="bound"):
        await intake.accept(CAMERA, Message(b"x" * 600), [UP])


async def test_a_message_of_the_greatest_size_goes_as_it_is(
    queue: Queue, database: Database, clock: ManualClock
) -> None:
    intake = await intake_of(queue, database, clock)
    await intake.accept(CAMERA, Message(b"x" * MESSAGE_BYTES_MAX), [UP])
    message = unpack((await queue.peek(UP.endpoint, None, 1))[0]).message
    assert message.size == MESSAGE_BYTES_MAX
    assert SEQUENCE_PROPERTY not in message.properties
    await intake.accept(CAMERA, Message(b""), [UP])
    assert await numbers(queue) == [0, 1]


async def test_many_messages_at_once_are_stored_in_order(
    queue: Queue, database: Database, clock: ManualClock
) -> None:
    intake = await intake_of(queue, database, clock)
    await asyncio.gather(*(intake.accept(CAMERA, Message(b"%d" % n), [UP]) for n in range(500)))
    found = await queue.peek(UP.endpoint, None, 1000)
    assert [stored.body for stored in found] == [b"%d" % n for n in range(500)]
    assert [unpack(stored).sequence for stored in found] == [*range(1, 501)]
    await intake.close()


async def test_a_closed_store_tells_every_waiting_sender(
    queue: Queue, database: Database, clock: ManualClock
) -> None:
    intake = await intake_of(queue, database, clock)
    await intake.accept(CAMERA, Message(b""), [UP])
    await queue.close()
    outcomes = await asyncio.gather(
        *(intake.accept(CAMERA, Message(b""), [UP]) for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(outcome, Exception) for outcome in outcomes)


async def test_each_message_names_the_digest_of_the_one_before_over_crashes_and_removals(
    queue: Queue, database: Database, clock: ManualClock
) -> None:
    links: list[Link] = []
    epoch = ""
    for round in range(4):
        intake = await intake_of(queue, database, clock)
        waits = [
            intake.accept(CAMERA, Message(b"%d" % n, {"round": str(round)}), [UP, LOCAL]) for n in range(5)
        ]
        await asyncio.gather(*waits)
        found = await queue.peek(UP.endpoint, None, 100)
        for stored in found:
            envelope = unpack(stored)
            assert envelope.link is not None
            epoch = envelope.message.properties[EPOCH_PROPERTY] or ""
            links.append(envelope.link)
        if round % 2:
            # Delivered and gone before the next start.
            ledger = Ledger(queue, Documents(database, "ledger"))
            await ledger.load()
            await ledger.settle(CAMERA, found[-1].sequence)
            assert ledger.head(CAMERA) == links[-1].own
        await queue.remove(UP.endpoint, [stored.sequence for stored in found] if round % 2 else [])
        if not round % 2:
            del links[-len(found) :]
    assert len(links) == 20
    assert [link.previous for link in links] == [epoch, *(link.own for link in links[:-1])]
