"""Opening a queue that holds a gigabyte for a hub out of reach: after an orderly end, and after a crash."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from time import perf_counter

from benchmarks.report import Report, Row, Side
from benchmarks.rounds import Options
from skerry.clock import SystemClock
from skerry.store.queue import Entry, Queue

ENDPOINTS = tuple(f"upstream/edge-1/module-{number}" for number in range(8))
HEADERS = b"edge-1/module\n%24.cdid=edge-1&%24.cmid=module&skerry-seq=1000000"
BODY_BYTES = 1024
GROUP = 4096
TARGET_S = 1.0
FIRST = 100


async def run(options: Options) -> Report:
    """Seconds until the first hundred messages of a sender are in hand, beside the target."""
    messages = options.pick(1 << 30, 1 << 20) // BODY_BYTES
    path, crashed = options.work / "queue.db", options.work / "crashed.db"
    await _fill(path, messages, crashed)
    rows = []
    for what, file in (("after an orderly end", path), ("after a crash", crashed)):
        values = []
        for number in range(options.rounds):
            # A crash is undone by the first opening: every round has a copy of its own.
            copy = _copy(file, options.work / f"round-{number}.db")
            started = perf_counter()
            queue = await Queue.open(copy, bytes_max=1 << 40, clock=SystemClock())
            found = await queue.peek(ENDPOINTS[0], None, FIRST)
            values.append(perf_counter() - started)
            held = sum(length.messages for length in queue.lengths().values())
            if (len(found), held) != (FIRST, messages):
                raise RuntimeError(f"{held} of {messages} messages are there")
            await queue.close()
            _remove(copy)
        target = Side("target", [TARGET_S] * len(values))
        rows.append(Row(f"opening a backlog, {what}", "s", Side("ours", values), target, "<=", 1.0))
    size = path.stat().st_size / (1 << 20)
    _remove(path)
    _remove(crashed)
    return Report("backlog", rows, [f"{messages} messages of {BODY_BYTES} B, a file of {size:.0f} MiB"])


async def _fill(path: Path, messages: int, crashed: Path) -> None:
    queue = await Queue.open(path, bytes_max=1 << 40, clock=SystemClock())
    body = os.urandom(BODY_BYTES)
    expires_at = SystemClock().now().timestamp() + 7 * 24 * 3600
    for first in range(0, messages, GROUP):
        numbers = range(first, min(first + GROUP, messages))
        await queue.append(
            [Entry(ENDPOINTS[n % len(ENDPOINTS)], 2_000_000_000, expires_at, body, HEADERS) for n in numbers]
        )
    # As a crash leaves it: the write-ahead log is not folded into the file.
    _copy(path, crashed)
    await queue.close()


def _copy(file: Path, to: Path) -> Path:
    for suffix in ("", "-wal"):
        part = file.with_name(file.name + suffix)
        if part.exists():
            shutil.copyfile(part, to.with_name(to.name + suffix))
    return to


def _remove(file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
