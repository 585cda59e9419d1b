"""Groups of messages onto the disk: the store's queue against writing and syncing the same bytes."""

from __future__ import annotations

import asyncio
import os
import shutil
from itertools import count
from pathlib import Path
from time import perf_counter

from benchmarks.report import Row
from benchmarks.rounds import Options, Sample, interleaved
from skerry.clock import SystemClock
from skerry.store.queue import Entry, Queue

GROUP = 128
BODY_BYTES = 256
HEADERS = b"edge-1/source\n%24.cdid=edge-1&%24.cmid=source"
TARGET = 0.45


async def append_row(options: Options) -> Row:
    """Messages a second in groups of 128, each group synced before the next."""
    folder = options.work / "append"
    folder.mkdir()
    groups = options.pick(400, 4)
    numbers = count()

    async def ours() -> Sample:
        return Sample(await _queue(folder / f"queue{next(numbers)}.db", groups))

    async def raw() -> Sample:
        return Sample(await asyncio.to_thread(_raw, folder / "raw", groups))

    try:
        sides = await interleaved({"queue": ours, "write + fdatasync": raw}, options.rounds * 3)
    finally:
        shutil.rmtree(folder)
    what = f"durable append, groups of {GROUP} × {BODY_BYTES} B"
    return Row(what, "msg/s", sides["queue"], sides["write + fdatasync"], ">=", TARGET)


async def _queue(path: Path, groups: int) -> float:
    queue = await Queue.open(path, bytes_max=1 << 40, clock=SystemClock())
    group = [
        Entry("upstream/edge-1/source", 2_000_000_000, None, os.urandom(BODY_BYTES), HEADERS)
        for _ in range(GROUP)
    ]
    try:
        await queue.append(group)
        started = perf_counter()
        for _ in range(groups):
            await queue.append(group)
        return groups * GROUP / (perf_counter() - started)
    finally:
        await queue.close()


async def raw_writes(folder: Path, messages: int, size: int) -> Sample:
    """Messages a second, each written and synced alone."""
    return Sample(await asyncio.to_thread(_synced_writes, folder / "raw", messages, os.urandom(size)))


def _raw(path: Path, groups: int) -> float:
    return _synced_writes(path, groups, os.urandom(GROUP * (BODY_BYTES + len(HEADERS)))) * GROUP


def _synced_writes(path: Path, blocks: int, block: bytes) -> float:
    """Blocks a second at the end of a new file."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        os.write(file, block)
        os.fdatasync(file)
        started = perf_counter()
        for _ in range(blocks):
            os.write(file, block)
            os.fdatasync(file)
        return blocks / (perf_counter() - started)
    finally:
        os.close(file)
        path.unlink()
