"""What every implementation of ``Storage`` has to do: the one on disk, and one in memory."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skerry.errors import NotFound, Unavailable
from skerry.store.database import Database
from skerry.store.storage import Storage, Transaction
from tests.support.memory_storage import MemoryStorage

MIGRATIONS = [
    "CREATE TABLE numbers (id INTEGER PRIMARY KEY, value INTEGER NOT NULL UNIQUE);",
    "CREATE TABLE notes (number INTEGER REFERENCES numbers (id) ON DELETE CASCADE, text TEXT);",
]


@pytest.fixture(params=["database", "memory"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    made: Storage = (
        MemoryStorage(MIGRATIONS)
        if request.param == "memory"
        else await Database.open(tmp_path / "numbers.db", MIGRATIONS)
    )
    yield made
    await made.close()


def insert(value: int) -> str:
    return f"INSERT INTO numbers (value) VALUES ({value})"


def values(transaction: Transaction) -> list[int]:
    return [value for (value,) in transaction.execute("SELECT value FROM numbers ORDER BY value")]


async def test_what_was_written_is_read_by_every_way_of_reading(storage: Storage) -> None:
    sql = "INSERT INTO numbers (value) VALUES (?)"
    await storage.write(lambda t: t.executemany(sql, [(1,), (2,)]).rowcount)
    assert await storage.write(values) == [1, 2]
    assert await storage.read(values) == [1, 2]
    assert storage.read_now(values) == [1, 2]


async def test_rows_say_what_a_statement_did(storage: Storage) -> None:
    def work(transaction: Transaction) -> list[object]:
        made = transaction.execute("INSERT INTO numbers (value) VALUES (?)", (7,))
        found = transaction.execute("SELECT id, value FROM numbers")
        return [
            made.lastrowid,
            made.rowcount,
            found.fetchone(),
            found.fetchone(),
            transaction.execute("SELECT 1 UNION SELECT 2").fetchall(),
            transaction.execute("UPDATE numbers SET value = 8 WHERE id = ?", (99,)).rowcount,
        ]

    assert await storage.write(work) == [1, 1, (1, 7), None, [(1,), (2,)], 0]


async def test_values_come_back_as_they_were(storage: Storage) -> None:
    given = (None, 0, -(2**63), 2**63 - 1, 1.5, "", "ü\u2028\U0001f980", b"", b"\x00\xff")
    sql = f"SELECT {', '.join('?' * len(given))}"
    assert await storage.read(lambda t: t.execute(sql, given).fetchone()) == given


async def test_an_error_undoes_the_work_and_only_that(storage: Storage) -> None:
    def fails(transaction: Transaction) -> None:
        transaction.execute(insert(2))
        raise NotFound("on purpose")

    futures = [
        storage.submit(lambda t: t.execute(insert(1)).rowcount),
        storage.submit(fails),
        storage.submit(lambda t: t.execute(insert(1)).rowcount),
        storage.submit(lambda t: t.execute(insert(3)).rowcount),
    ]
    first, second, third, fourth = await asyncio.gather(*futures, return_exceptions=True)
    assert (first, fourth) == (1, 1)
    assert isinstance(second, NotFound)
    assert isinstance(third, sqlite3.IntegrityError)
    assert await storage.read(values) == [1, 3]


async def test_works_happen_in_the_order_they_were_submitted(storage: Storage) -> None:
    async def next_after(before: int) -> None:
        def work(transaction: Transaction) -> None:
            assert values(transaction) == list(range(before))
            transaction.execute(insert(before))

        await storage.write(work)

    await asyncio.gather(*(next_after(n) for n in range(20)))
    assert storage.read_now(values) == list(range(20))


async def test_a_read_sees_one_state_and_cannot_write(storage: Storage) -> None:
    with pytest.raises(sqlite3.OperationalError):
        await storage.read(lambda t: t.execute(insert(1)).rowcount)
    with pytest.raises(sqlite3.OperationalError):
        storage.read_now(lambda t: t.execute(insert(1)).rowcount)
    assert await storage.read(values) == []
    await storage.write(lambda t: t.execute(insert(1)).rowcount)


async def test_references_are_kept(storage: Storage) -> None:
    def work(transaction: Transaction) -> list[tuple[int]]:
        transaction.execute(insert(1))
        transaction.execute("INSERT INTO notes VALUES (1, 'x')")
        transaction.execute("DELETE FROM numbers")
        return transaction.execute("SELECT * FROM notes").fetchall()

    assert await storage.write(work) == []
    with pytest.raises(sqlite3.IntegrityError):
        await storage.write(lambda t: t.execute("INSERT INTO notes VALUES (5, 'x')").rowcount)


async def test_the_remainder_of_doubles_is_known(storage: Storage) -> None:
    sql = "SELECT skerry_fmod(7.5, 2), skerry_fmod(-7.5, 2), skerry_fmod(1, 0), skerry_fmod(NULL, 1)"
    assert await storage.read(lambda t: t.execute(sql).fetchone()) == (1.5, -1.5, None, None)


async def test_a_closed_store_is_unavailable(storage: Storage) -> None:
    await storage.close()
    await storage.close()
    for ask in (storage.write, storage.read):
        with pytest.raises(Unavailable):
            await ask(values)
    with pytest.raises(Unavailable):
        storage.read_now(values)
