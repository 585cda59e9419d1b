"""The queues of cloud-to-device messages, and their feedback (contract §2.3, §4.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from skerry.clock import ManualClock, iso
from skerry.contract.message import Message
from skerry.contract.names import DeviceId, Identity
from skerry.errors import InvalidInput, NotFound, PreconditionFailed, Throttled, TooLarge
from skerry.hub import identity_rows
from skerry.hub.commands import COMMAND_BYTES_MAX, DELIVERIES_MAX, LOCK_S, QUEUE_MAX, Commands
from skerry.hub.feedback import Feedback
from skerry.hub.identity_rows import IdentityRow
from skerry.hub.journal import Journal
from skerry.hub.schema import HUB_MIGRATIONS
from skerry.store.database import Database

DEV = DeviceId("dev")


def command(text: str = "x", **system: str) -> Message:
    return Message(text.encode(), {"k": "v"}, system)


@asynccontextmanager
async def opened(path: Path, clock: ManualClock) -> AsyncIterator[Commands]:
    """Queues with one registered device."""
    database = await Database.open(path / "hub.db", HUB_MIGRATIONS)

    def prepare(connection: Any) -> None:
        row = IdentityRow(Identity(DEV), generation="g-1")
        if identity_rows.find(connection, row.identity) is None:
            identity_rows.create(connection, row, iso(clock.now()))

    await database.write(prepare)
    try:
        yield Commands(database, Journal("hub", (), clock), clock)
    finally:
        await database.close()


async def taken(commands: Commands, lock_s: float | None = LOCK_S) -> tuple[str, bytes] | None:
    found = await commands.take(DEV, lock_s)
    return None if found is None else (found[0], found[1].message.body)


async def told(feedback: Feedback) -> list[tuple[str, str]]:
    """Message ids with what became of them, of all feedback there is."""
    batch = await feedback.take()
    if batch is None:
        return []
    await feedback.complete(batch.lock)
    return [(record["originalMessageId"], record["statusCode"]) for record in batch.records]


async def test_commands_are_taken_in_order_and_survive_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as commands:
        for n in range(3):
            await commands.send(DEV, command(f"{n}"))
        first = await taken(commands)
        assert first is not None
        await commands.complete(DEV, first[0])
        second = await taken(commands)
        assert second is not None
        assert second[1] == b"1"
    async with opened(tmp_path, clock) as commands:
        assert commands.count(DEV) == 2
        again = await commands.take(DEV, LOCK_S)
        assert again is not None
        assert (again[1].message.body, again[1].deliveries) == (b"1", 1)
        assert again[1].message.properties == {"k": "v"}


async def test_what_is_held_is_not_given_to_another_until_its_lock_is_over(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as commands:
        await commands.send(DEV, command())
        first = await taken(commands)
        assert first is not None
        assert await taken(commands) is None
        await clock.advance(LOCK_S)
        with pytest.raises(PreconditionFailed):
            await commands.complete(DEV, first[0])
        second = await taken(commands)
        assert second is not None
        with pytest.raises(PreconditionFailed):
            await commands.complete(DeviceId("other"), second[0])
        commands.abandon(DEV, second[0])
        third = await taken(commands)
        assert third is not None
        await commands.complete(DEV, third[0])
        assert commands.count(DEV) == 0


async def test_limits(tmp_path: Path) -> None:
    async with opened(tmp_path, ManualClock()) as commands:
        for _ in range(QUEUE_MAX):
            await commands.send(DEV, command())
        with pytest.raises(Throttled):
            await commands.send(DEV, command())
        with pytest.raises(NotFound):
            await commands.send(DeviceId("nobody"), command())
        with pytest.raises(TooLarge):
            await commands.send(DEV, Message(b"x" * (COMMAND_BYTES_MAX + 1)))
        for wrong in ({"ack": "perhaps"}, {"absolute-expiry-time": "soon"}):
            with pytest.raises(InvalidInput):
                await commands.send(DEV, command("x", **wrong))
        assert commands.count(DEV) == QUEUE_MAX
        assert await commands.counts() == {"dev": QUEUE_MAX}


async def test_feedback_tells_each_end_to_those_who_asked(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as commands:
        for ack in ("none", "positive", "negative", "full"):
            await commands.send(DEV, command("x", ack=ack, messageId=f"done-{ack}"))
            lock, _ = await commands.take(DEV, None) or ("", None)
            await commands.complete(DEV, lock)
        for ack in ("positive", "negative"):
            await commands.send(DEV, command("x", ack=ack, messageId=f"rejected-{ack}"))
            lock, _ = await commands.take(DEV, None) or ("", None)
            await commands.reject(DEV, lock)
        soon = iso(clock.now() + timedelta(minutes=1))
        await commands.send(DEV, command("x", ack="full", messageId="late", **{"absolute-expiry-time": soon}))
        await commands.send(DEV, command("x", ack="full", messageId="kept"))
        clock.set(clock.now() + timedelta(minutes=2))
        assert await commands.sweep() == 1
        assert await commands.purge(DEV) == 1
        assert await told(commands.feedback) == [
            ("done-positive", "Success"),
            ("done-full", "Success"),
            ("rejected-negative", "Rejected"),
            ("late", "Expired"),
            ("kept", "Purged"),
        ]


async def test_a_command_lives_an_hour_if_nobody_says_otherwise(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as commands:
        await commands.send(DEV, command("x", ack="negative", messageId="m"))
        clock.set(clock.now() + timedelta(minutes=59))
        assert await commands.sweep() == 0
        clock.set(clock.now() + timedelta(minutes=1))
        assert await taken(commands) is None
        assert await commands.sweep() == 1
        assert await told(commands.feedback) == [("m", "Expired")]


async def test_a_command_delivered_ten_times_in_vain_is_dropped(tmp_path: Path) -> None:
    async with opened(tmp_path, ManualClock()) as commands:
        await commands.send(DEV, command("poison", ack="negative", messageId="m"))
        await commands.send(DEV, command("next"))
        for _ in range(DELIVERIES_MAX):
            found = await taken(commands)
            assert found is not None
            assert found[1] == b"poison"
            commands.abandon(DEV, found[0])
        found = await taken(commands)
        assert found is not None
        assert found[1] == b"next"
        assert await told(commands.feedback) == [("m", "DeliveryCountExceeded")]


async def test_feedback_that_is_not_completed_comes_again_and_not_for_ever(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as commands:
        await commands.send(DEV, command("x", ack="full"))
        await commands.purge(DEV)
        feedback = commands.feedback
        for _ in range(5):
            batch = await feedback.take()
            assert batch is not None
            assert await feedback.take() is None
            feedback.abandon(batch.lock)
        for _ in range(5):
            batch = await feedback.take(30.0)
            assert batch is not None
            await clock.advance(30)
            with pytest.raises(PreconditionFailed):
                await feedback.complete(batch.lock)
        await feedback.take()
        await clock.advance(61)
        assert await feedback.take() is None
