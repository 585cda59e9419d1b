"""A database: group commit, isolation of failing work, full disks, damage, migrations."""

import asyncio
import os
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from skerry.errors import Damaged, StorageFull, Unavailable, Unsupported
from skerry.store.database import Database

NOTES = "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "notes.db", [NOTES])
    yield opened
    await opened.close()


def add(text: object) -> Callable[[sqlite3.Connection], int]:
    def work(connection: sqlite3.Connection) -> int:
        return connection.execute("INSERT INTO note (text) VALUES (?)", (text,)).lastrowid or 0

    return work


def texts(connection: sqlite3.Connection) -> list[str]:
    return [text for (text,) in connection.execute("SELECT text FROM note ORDER BY id")]


async def test_what_was_written_is_read_by_every_reader(database: Database) -> None:
    assert await database.write(add("a")) == 1
    assert await database.read(texts) == ["a"]
    assert database.read_now(texts) == ["a"]


async def test_writes_take_effect_in_the_order_they_were_asked_for(database: Database) -> None:
    await asyncio.gather(*(database.write(add(f"{n:03}")) for n in range(300)))
    assert await database.read(texts) == [f"{n:03}" for n in range(300)]


async def test_concurrent_writes_share_transactions(database: Database) -> None:
    begun: list[str] = []
    await database.write(lambda connection: connection.set_trace_callback(begun.append))
    await asyncio.gather(*(database.write(add(str(n))) for n in range(200)))
    await database.write(lambda connection: connection.set_trace_callback(None))
    assert begun.count("COMMIT") < 20


async def test_a_failing_write_undoes_itself_and_not_its_neighbours(database: Database) -> None:
    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO note (text) VALUES ('half')")
        raise ValueError("no")

    results = await asyncio.gather(
        database.write(add("before")),
        database.write(broken),
        database.write(add("before")),
        database.write(add("after")),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [int, ValueError, sqlite3.IntegrityError, int]
    assert await database.read(texts) == ["before", "after"]


async def test_a_caller_that_gives_up_does_not_disturb_the_others(database: Database) -> None:
    given_up = asyncio.create_task(database.write(add("given up")))
    kept = asyncio.create_task(database.write(add("kept")))
    await asyncio.sleep(0)
    given_up.cancel()
    await kept
    assert "kept" in await database.read(texts)


async def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError):
        await database.read(add("x"))


async def test_reads_run_beside_each_other_and_beside_writes(database: Database) -> None:
    rounds = [(database.write(add(str(n))), database.read(texts), database.read(texts)) for n in range(30)]
    await asyncio.gather(*(piece for pieces in rounds for piece in pieces))
    assert len(await database.read(texts)) == 30


async def test_a_closed_database_says_so(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "notes.db", [NOTES])
    pending = asyncio.create_task(database.write(add("pending")))
    await asyncio.sleep(0)
    await database.close()
    await database.close()
    await pending
    with pytest.raises(Unavailable):
        await database.write(add("late"))
    with pytest.raises(Unavailable):
        await database.read(texts)
    assert sorted(os.listdir(tmp_path)) == ["notes.db"]
    again = await Database.open(tmp_path / "notes.db", [NOTES])
    assert await again.read(texts) == ["pending"]
    await again.close()


async def test_only_the_owner_may_read_the_files(database: Database) -> None:
    await database.write(add("a"))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in database.path.parent.iterdir()}
    assert modes == {0o600}


async def test_every_commit_is_synced(database: Database) -> None:
    settings = await database.write(
        lambda connection: [
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        ]
    )
    assert settings == ["wal", 2]


async def test_migrations_run_once_and_the_new_ones_follow(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    first = await Database.open(path, [NOTES])
    await first.write(add("old"))
    await first.close()
    second = await Database.open(path, [NOTES, "ALTER TABLE note ADD COLUMN mark INTEGER DEFAULT 7;"])
    assert second.read_now(lambda c: c.execute("SELECT text, mark FROM note").fetchall()) == [("old", 7)]
    await second.close()
    with pytest.raises(Unsupported, match="format 2"):
        await Database.open(path, [NOTES])


async def test_a_failing_migration_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    await (await Database.open(path, [NOTES])).close()
    with pytest.raises(sqlite3.OperationalError):
        await Database.open(path, [NOTES, "CREATE TABLE b (x); INSERT INTO nowhere VALUES (1);"])
    database = await Database.open(path, [NOTES, "CREATE TABLE b (x);"])
    await database.close()


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_bytes(b"not a database at all" * 1000)
    with pytest.raises(Damaged, match=r"notes\.db") as caught:
        await Database.open(path, [NOTES])
    assert caught.value.fields["path"] == str(path)
    assert caught.value.hint


async def test_damage_met_while_reading_or_writing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    database = await Database.open(path, [NOTES])
    for n in range(50):
        await database.write(add(f"{n}" * 1000))
    await database.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    database = await Database.open(path, [NOTES])
    with pytest.raises(Damaged, match=r"notes\.db"):
        await database.read(texts)
    with pytest.raises(Damaged, match=r"notes\.db"):
        await database.write(add("new"))
    await database.close()


async def test_a_full_disk_fails_what_needs_room_and_nothing_else(database: Database) -> None:
    await database.write(add("kept"))
    await limit_pages(database, 12)
    big = [database.write(add("x" * 20_000 + str(n))) for n in range(5)]
    results = await asyncio.gather(*big, database.write(add("small")), return_exceptions=True)
    failed = [result for result in results if isinstance(result, StorageFull)]
    assert failed
    assert "notes.db" in failed[0].what
    assert failed[0].hint
    assert isinstance(results[-1], int)
    stored = await database.read(texts)
    assert len(stored) == 1 + len(results) - len(failed)


async def test_writing_works_again_once_there_is_room(database: Database) -> None:
    await limit_pages(database, 12)
    with pytest.raises(StorageFull):
        await database.write(add("x" * 100_000))
    await limit_pages(database, 100)
    await database.write(add("x" * 100_000))
    assert len(await database.read(texts)) == 1


async def test_the_write_ahead_log_stays_bounded_under_overlapping_readers(tmp_path: Path) -> None:
    bound = 2 * 1024 * 1024
    database = await Database.open(tmp_path / "notes.db", [NOTES], wal_bytes_max=bound)
    wal, longest, writing = tmp_path / "notes.db-wal", 0, True

    async def keep_reading() -> None:
        while writing:
            await database.read(texts)

    readers = [asyncio.create_task(keep_reading()) for _ in range(3)]
    for n in range(120):
        await database.write(add(f"{n:09}" + "x" * 60_000))
        longest = max(longest, wal.stat().st_size)
    writing = False
    await asyncio.gather(*readers)
    await database.close()
    assert longest < 2 * bound


async def limit_pages(database: Database, pages: int) -> None:
    await database.write(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone())
