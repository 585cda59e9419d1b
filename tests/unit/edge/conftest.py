"""Stores on disk for the edge's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skerry.clock import ManualClock
from skerry.store.database import Database
from skerry.store.documents import DOCUMENTS
from skerry.store.queue import Queue


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "edge.db", [DOCUMENTS])
    yield opened
    await opened.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def queue(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Queue]:
    opened = await Queue.open(tmp_path / "queue.db", bytes_max=10_000_000, clock=clock)
    yield opened
    await opened.close()
