"""Power cuts in the midst of a write: what was acknowledged is read back, whatever became of what was not.

A cut is a copy of the files between two commits, with the end of the write-ahead log as a disk may leave it:
whole, cut off, or full of what lay there before. A quarter of ``SKERRY_SIM_SEEDS`` (test_bad_days) run here.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from skerry.clock import SystemClock
from skerry.store.queue import Entry, Queue
from tests.sims.test_bad_days import FIRST_SEED, SEEDS

ENDPOINTS = ("upstream/edge-1/camera", "input/cnn/image")
CUTS = 4
SENDERS = 3
FRAME_BYTES = 24 + 4096


def tear(wal: Path, roll: random.Random) -> None:
    """What a write that did not finish leaves behind the last commit."""
    if not wal.exists():
        return
    data = wal.read_bytes()
    garbage = roll.randbytes(roll.randrange(1, 3 * FRAME_BYTES))
    old = data[32 : 32 + FRAME_BYTES * roll.randrange(1, 4)]
    wal.write_bytes(data + roll.choice([b"", garbage, old, old[: len(old) // 2]]))


async def send(queue: Queue, name: int, acknowledged: list[bytes], roll: random.Random) -> None:
    for number in range(10_000):
        sizes = [roll.randrange(3000) for _ in range(roll.randrange(1, 9))]
        bodies = [b"%d %d %d " % (name, number, n) + b"x" * size for n, size in enumerate(sizes)]
        await queue.append([Entry(roll.choice(ENDPOINTS), 0, None, body, b"h") for body in bodies])
        acknowledged += bodies


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + max(SEEDS // 4, 1)))
async def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path: Path, seed: int) -> None:
    roll = random.Random(seed)
    queue = await Queue.open(tmp_path / "queue.db", bytes_max=1 << 30, clock=SystemClock())
    acknowledged: list[bytes] = []
    removed: set[bytes] = set()
    tasks = [asyncio.create_task(send(queue, name, acknowledged, roll)) for name in range(SENDERS)]
    images: list[tuple[Path, list[bytes], set[bytes]]] = []

    def image(connection: sqlite3.Connection) -> None:
        # In the writer's thread: nobody writes meanwhile.
        folder = tmp_path / f"cut-{len(images)}"
        folder.mkdir()
        for suffix in ("", "-wal"):
            part = tmp_path / f"queue.db{suffix}"
            if part.exists():
                shutil.copyfile(part, folder / part.name)
        images.append((folder, list(acknowledged), set(removed)))

    for _ in range(CUTS):
        await asyncio.sleep(roll.random() * 0.03)
        for endpoint in ENDPOINTS:
            found = await queue.peek(endpoint, None, roll.randrange(1, 30))
            # Gone from the moment somebody asks for it.
            removed |= {stored.body for stored in found}
            await queue.remove(endpoint, [stored.sequence for stored in found])
        await queue._database.write(image)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await queue.close()
    for folder, known, gone in images:
        tear(folder / "queue.db-wal", roll)
        again = await Queue.open(folder / "queue.db", bytes_max=1 << 30, clock=SystemClock())
        try:
            await again.verify()
            kept: list[bytes] = []
            for endpoint in ENDPOINTS:
                after = None
                while found := await again.peek(endpoint, after, 1000):
                    kept += [stored.body for stored in found]
                    after = found[-1].cursor
            assert set(known) - gone <= set(kept), f"seed {seed}"
            assert len(kept) == sum(length.messages for length in again.lengths().values()), f"seed {seed}"
            (sequence,) = await again.append([Entry("a", 0, None, b"", b"")])
            assert sequence > 0, f"seed {seed}"
        finally:
            await again.close()
