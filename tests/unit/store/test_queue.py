"""The queue: order, durability of removals, caps, expiry, notification."""

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from skerry.clock import ManualClock
from skerry.errors import StorageFull, Unavailable
from skerry.store.entries import QUEUE
from skerry.store.queue import Cursor, Entry, Length, Queue, Stored
from skerry.store.tail import TAIL_BYTES_MAX

MEGABYTE = 1024 * 1024


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=[TAIL_BYTES_MAX, 0], ids=["memory", "disk"])
async def queue(tmp_path: Path, clock: ManualClock, request: pytest.FixtureRequest) -> AsyncIterator[Queue]:
    opened = await Queue.open(
        tmp_path / "queue.db", bytes_max=MEGABYTE, clock=clock, tail_bytes_max=request.param
    )
    yield opened
    await opened.close()


async def reopened(queue: Queue, tmp_path: Path, clock: ManualClock) -> Queue:
    await queue.close()
    return await Queue.open(tmp_path / "queue.db", bytes_max=MEGABYTE, clock=clock)


def entry(body: str, endpoint: str = "up", priority: int = 0, expires_at: float | None = None) -> Entry:
    return Entry(endpoint, priority, expires_at, body.encode(), b"h")


def bodies(stored: list[Stored]) -> list[str]:
    return [one.body.decode() for one in stored]


def messages(lengths: Mapping[str, Length]) -> dict[str, int]:
    return {endpoint: length.messages for endpoint, length in lengths.items()}


async def test_entries_come_back_as_they_were_stored(queue: Queue) -> None:
    (sequence,) = await queue.append([Entry("cnn/in", 3, 2e9, b"\x00body", b"head")])
    assert await queue.peek("cnn/in", None, 10) == [Stored(sequence, "cnn/in", 3, 2e9, b"\x00body", b"head")]
    assert await queue.peek("other", None, 10) == []


async def test_priority_comes_before_arrival(queue: Queue) -> None:
    await queue.append([entry("b1", priority=5), entry("a1", priority=0), entry("b2", priority=5)])
    await queue.append([entry("a2", priority=0)])
    assert bodies(await queue.peek("up", None, 10)) == ["a1", "a2", "b1", "b2"]


async def test_peek_goes_on_after_the_cursor(queue: Queue) -> None:
    await queue.append([entry(f"{n}", priority=n % 2) for n in range(6)])
    first = await queue.peek("up", None, 4)
    assert bodies(first) == ["0", "2", "4", "1"]
    assert bodies(await queue.peek("up", first[-1].cursor, 4)) == ["3", "5"]
    assert await queue.peek("up", Cursor(1, 10**6), 4) == []


async def test_peek_is_bounded_in_bytes_but_gives_at_least_one(queue: Queue) -> None:
    await queue.append([entry("x" * 1000) for _ in range(5)])
    assert len(await queue.peek("up", None, 5, bytes_max=2100)) == 2
    assert len(await queue.peek("up", None, 5, bytes_max=1)) == 1


async def test_concurrent_appends_keep_the_order_of_the_calls(queue: Queue) -> None:
    sequences = await asyncio.gather(*(queue.append([entry(f"{n}")]) for n in range(500)))
    flat = [sequence for (sequence,) in sequences]
    assert flat == sorted(set(flat))
    assert bodies(await queue.peek("up", None, 1000)) == [str(n) for n in range(500)]


async def test_removed_entries_are_gone_at_once_and_after_reopening(
    queue: Queue, tmp_path: Path, clock: ManualClock
) -> None:
    sequences = await queue.append([entry("a"), entry("b"), entry("c")])
    await queue.remove("up", sequences[:2])
    assert bodies(await queue.peek("up", None, 1)) == ["c"]
    assert queue.lengths() == {"up": Length(1, 2)}
    again = await reopened(queue, tmp_path, clock)
    assert bodies(await again.peek("up", None, 10)) == ["c"]
    assert again.lengths() == {"up": Length(1, 2)}
    await again.close()


async def test_removals_reach_the_disk_of_an_idle_queue_by_themselves(queue: Queue, tmp_path: Path) -> None:
    await queue.remove("up", await queue.append([entry("a")]))
    reader = sqlite3.connect(tmp_path / "queue.db")
    try:
        for _ in range(200):
            (left,) = reader.execute("SELECT count(*) FROM entry").fetchone()
            if left == 0:
                break
            await asyncio.sleep(0.01)
    finally:
        reader.close()
    assert left == 0


async def test_removing_twice_or_for_another_endpoint_changes_nothing(queue: Queue) -> None:
    sequences = await queue.append([entry("a"), entry("b")])
    await queue.remove("other", sequences)
    assert messages(queue.lengths()) == {"up": 2}
    for _ in range(2):
        await queue.remove("up", sequences[:1])
        await queue.append([entry("c", endpoint="else")])
    assert messages(queue.lengths()) == {"up": 1, "else": 2}
    assert queue.bytes_held == 3 * 2


async def test_many_removals_are_committed_without_waiting(queue: Queue) -> None:
    sequences = await queue.append([entry("x") for _ in range(3000)])
    for start in range(0, 3000, 100):
        await queue.remove("up", sequences[start : start + 100])
    assert queue.lengths() == {}
    assert await queue.peek("up", None, 5) == []


async def test_over_the_byte_cap_nothing_of_the_batch_is_kept(queue: Queue) -> None:
    await queue.append([entry("x" * (MEGABYTE - 100))])
    with pytest.raises(StorageFull, match="full") as caught:
        await queue.append([entry("a"), entry("x" * 200)])
    assert caught.value.fields["bytes_max"] == MEGABYTE
    assert messages(queue.lengths()) == {"up": 1}
    await queue.append([entry("a")])


async def test_removing_makes_room(queue: Queue) -> None:
    sequences = await queue.append([entry("x" * (MEGABYTE - 1))])
    with pytest.raises(StorageFull):
        await queue.append([entry("a")])
    await queue.remove("up", sequences)
    await queue.append([entry("a")])


async def test_the_message_cap_holds_for_appends_in_flight_too(tmp_path: Path, clock: ManualClock) -> None:
    queue = await Queue.open(tmp_path / "q.db", bytes_max=MEGABYTE, messages_max=10, clock=clock)
    results = await asyncio.gather(*(queue.append([entry("a")]) for _ in range(25)), return_exceptions=True)
    assert [isinstance(result, StorageFull) for result in results].count(True) == 15
    assert messages(queue.lengths()) == {"up": 10}
    await queue.close()


async def test_expired_entries_are_not_peeked_and_counted_once(queue: Queue, clock: ManualClock) -> None:
    now = clock.now().timestamp()
    sequences = await queue.append(
        [
            entry("short", expires_at=now + 10),
            entry("ever"),
            entry("o", "other", expires_at=now + 10),
            entry("delivered", expires_at=now + 10),
        ]
    )
    assert await queue.expire(now) == {}
    await clock.advance(10)
    assert bodies(await queue.peek("up", None, 5)) == ["ever"]
    await queue.remove("up", [sequences[3]])
    assert await queue.expire(now + 10) == {"up": 1, "other": 1}
    assert await queue.expire(now + 10) == {}
    assert messages(queue.lengths()) == {"up": 1}
    assert queue.bytes_held == len("ever") + 1


async def test_expiry_of_a_long_queue_goes_in_bounded_steps(queue: Queue) -> None:
    await queue.append([entry("x", expires_at=5.0) for _ in range(5000)])
    assert await queue.expire(5.0) == {"up": 5000}
    assert queue.lengths() == {}


async def test_arrival_wakes_the_endpoint_that_waits_and_no_other(queue: Queue) -> None:
    up, other = queue.waiter("up"), queue.waiter("other")
    await queue.append([entry("a")])
    await asyncio.wait_for(up.wait(), 5)
    assert not other.is_set()
    up.clear()
    await queue.append([entry("b")])
    assert up.is_set()


async def test_after_reopening_the_backlog_is_announced(
    queue: Queue, tmp_path: Path, clock: ManualClock
) -> None:
    await queue.append([entry("a")])
    again = await reopened(queue, tmp_path, clock)
    assert again.waiter("up").is_set()
    assert not again.waiter("other").is_set()
    await again.close()


async def test_sequences_are_never_used_twice(queue: Queue, tmp_path: Path, clock: ManualClock) -> None:
    first = await queue.append([entry("a")])
    await queue.remove("up", first)
    again = await reopened(queue, tmp_path, clock)
    second = await again.append([entry("b")])
    assert second[0] > first[0]
    await again.close()


async def test_a_cancelled_append_leaves_its_neighbours_and_the_counts_right(queue: Queue) -> None:
    given_up = asyncio.create_task(queue.append([entry("a")]))
    kept = asyncio.create_task(queue.append([entry("b")]))
    await asyncio.sleep(0)
    given_up.cancel()
    await kept
    assert len(await queue.peek("up", None, 5)) == messages(queue.lengths())["up"]


async def test_a_closed_queue_says_so(tmp_path: Path, clock: ManualClock) -> None:
    queue = await Queue.open(tmp_path / "q.db", bytes_max=MEGABYTE, clock=clock)
    pending = asyncio.create_task(queue.append([entry("pending")]))
    await asyncio.sleep(0)
    await queue.close()
    assert len(await pending) == 1
    for _ in range(2):
        with pytest.raises(Unavailable):
            await queue.append([entry("late")])


async def test_an_endpoint_that_falls_behind_its_memory_goes_on_from_the_disk(
    tmp_path: Path, clock: ManualClock
) -> None:
    queue = await Queue.open(
        tmp_path / "behind.db", bytes_max=MEGABYTE, clock=clock, tail_bytes_max=MEGABYTE // 4
    )
    try:
        sent = [f"{number}" * 100_000 for number in range(8)]
        for body in sent:
            await queue.append([entry(body)])
        read: list[str] = []
        after = None
        while found := await queue.peek("up", after, 3):
            read += bodies(found)
            after = found[-1].cursor
            await queue.remove("up", [stored.sequence for stored in found])
        assert read == sent
        await queue.append([entry("again")])
        assert bodies(await queue.peek("up", after, 3)) == ["again"]
    finally:
        await queue.close()


async def test_a_queue_of_the_first_format_is_taken_over(tmp_path: Path, clock: ManualClock) -> None:
    file = tmp_path / "old.db"
    with contextlib.closing(sqlite3.connect(file)) as old:
        old.executescript(QUEUE[0])
        old.execute("PRAGMA user_version = 1")
        rows = [(n, "up" if n % 3 else "in", n % 2, None, b"h", b"%d" % n) for n in range(1, 10)]
        old.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", rows)
        old.execute("UPDATE counter SET next = 100")
        old.commit()
    queue = await Queue.open(file, bytes_max=MEGABYTE, clock=clock)
    try:
        assert queue.lengths() == {"up": Length(6, 12), "in": Length(3, 6)}
        assert bodies(await queue.peek("up", None, 10)) == ["2", "4", "8", "1", "5", "7"]
        assert list(await queue.append([entry("new")])) == [100]
    finally:
        await queue.close()


async def test_what_the_file_says_it_holds_is_what_it_holds(tmp_path: Path, clock: ManualClock) -> None:
    roll = random.Random(1)
    file = tmp_path / "totals.db"
    queue = await Queue.open(file, bytes_max=MEGABYTE, clock=clock, tail_bytes_max=5_000)
    now = clock.now().timestamp()
    for _ in range(60):
        endpoint = roll.choice("abc")
        added = [
            entry("x" * roll.randrange(50), endpoint, roll.randrange(3), now + roll.randrange(-5, 60))
            for _ in range(roll.randrange(1, 30))
        ]
        (first, *_) = await queue.append(added)
        # What expires, is dropped or is removed may be the same.
        await asyncio.gather(
            queue.remove(endpoint, [*range(first - 10, first + 5)]),
            queue.make_room(roll.choice("abc"), roll.randrange(10), 0),
            queue.expire(now + roll.randrange(30)),
        )
    lengths = {name: length for name, length in queue.lengths().items() if length.messages}
    await queue.close()
    with contextlib.closing(sqlite3.connect(file)) as found:
        held = "SELECT endpoint, count(*), sum(length(headers) + length(body)) FROM entry GROUP BY endpoint"
        counted = {endpoint: Length(count, size) for endpoint, count, size in found.execute(held)}
        said = {
            endpoint: Length(count, size)
            for endpoint, count, size in found.execute("SELECT * FROM total WHERE messages > 0")
        }
    assert lengths == counted == said != {}
