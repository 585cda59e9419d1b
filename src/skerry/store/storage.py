"""The port to a durable store: transactions of statements, whose writes are on disk when they return.

What a verb does inside a transaction is a plain function of it, so that the store decides where it runs and
what it shares a commit with. ``Database`` implements it; one suite holds every implementation to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Rows(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""

    @property
    def lastrowid(self) -> int | None:
        """The number of the row it inserted."""

    def fetchone(self) -> Any:
        """The next row as a tuple, ``None`` after the last."""

    def fetchall(self) -> list[Any]:
        """The rest of them."""

    def __iter__(self) -> Iterator[Any]:
        """Each of the rest."""


class Transaction(Protocol):
    """Statements with ``?`` for parameters; all of them happen, or none.

    They are SQLite's, and may use ``skerry_fmod``: the remainder of two doubles, NULL where there is none.
    """

    def execute(self, statement: str, parameters: Sequence[Any] = ..., /) -> Rows:
        """Run one; an error undoes what its transaction did."""

    def executemany(self, statement: str, parameters: Iterable[Sequence[Any]], /) -> Rows:
        """Run it once per set of parameters."""


class Storage(Protocol):
    """Where rows are kept. Raises StorageFull (nothing of it was kept), Damaged, Unavailable (closed)."""

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in a transaction; returns when it is on disk. An error undoes what it did.

        Works happen one after the other. ``work`` may be run a second time after the disk was full: it only
        uses its transaction, and neither commits nor rolls back.
        """

    def submit(self, work: Callable[[Transaction], object]) -> asyncio.Future[object]:
        """``write`` as a future: the work has its place in the order at once."""

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work``, which changes nothing, on one consistent state; return plain values."""

    def read_now(self, work: Callable[[Transaction], T]) -> T:
        """``read`` here and now; for a few rows only, since the loop waits."""

    async def close(self) -> None:
        """Finish the writes that were asked for. Closing twice is fine."""
