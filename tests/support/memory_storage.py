"""``Storage`` without a file, a thread or a group commit: one connection in memory."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from skerry.errors import Unavailable
from skerry.store.connection import add_functions
from skerry.store.storage import Transaction

T = TypeVar("T")


class MemoryStorage:
    """Gone when it is closed."""

    def __init__(self, migrations: Sequence[str]) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.execute("PRAGMA foreign_keys = ON")
        add_functions(self._connection)
        for script in migrations:
            self._connection.executescript(script)
        self._closed = False

    async def write(self, work: Callable[[Transaction], T]) -> T:
        return cast(T, await self.submit(work))

    def submit(self, work: Callable[[Transaction], object]) -> asyncio.Future[object]:
        async def run() -> object:
            return self._run(work, "COMMIT")

        # Tasks begin in the order they were made, and this one never waits.
        return asyncio.ensure_future(run())

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return self.read_now(work)

    def read_now(self, work: Callable[[Transaction], T]) -> T:
        self._check_open()
        self._connection.execute("PRAGMA query_only = ON")
        try:
            return self._run(work, "ROLLBACK")
        finally:
            self._connection.execute("PRAGMA query_only = OFF")

    async def close(self) -> None:
        self._closed = True
        self._connection.close()

    def _run(self, work: Callable[[Transaction], T], end: str) -> T:
        self._check_open()
        self._connection.execute("BEGIN")
        try:
            result = work(self._connection)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute(end)
        return result

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed")
