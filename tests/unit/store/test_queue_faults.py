"""The queue against kill -9, full disks and file size limits, with a real process."""

import asyncio
import contextlib
import json
import random
import signal
import sqlite3
import sys
from pathlib import Path

from skerry.clock import ManualClock
from skerry.errors import StorageFull
from skerry.store.queue import Entry, Queue

WRITER = Path(__file__).with_name("queue_writer.py")
MEGABYTE = 1024 * 1024


async def start_writer(path: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(WRITER), str(path), *arguments, stdout=asyncio.subprocess.PIPE
    )


async def test_kill_9_loses_nothing_that_was_reported_committed(tmp_path: Path) -> None:
    rng = random.Random(20261123)
    path = tmp_path / "queue.db"
    reported: list[int] = []
    for trial in range(4):
        process = await start_writer(path, str(trial * 1_000_000))
        assert process.stdout is not None
        for _ in range(rng.randrange(1, 400)):
            reported.append(int(await process.stdout.readline()))
        await asyncio.sleep(rng.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        rest = (await process.communicate())[0].decode()
        # The last line may be torn: then it was not reported.
        reported += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    assert len(reported) > 20
    queue = await Queue.open(path, bytes_max=1024 * MEGABYTE, clock=ManualClock())
    stored = [int(entry.body) for entry in await queue.peek("up", None, 10**6, bytes_max=1024 * MEGABYTE)]
    assert stored == sorted(set(stored))
    assert set(reported) <= set(stored)
    assert queue.lengths()["up"].messages == len(stored)
    await queue.close()


async def test_at_the_file_size_limit_appends_fail_whole_and_work_again_after(tmp_path: Path) -> None:
    process = await start_writer(tmp_path / "queue.db", "limited")
    output, _ = await process.communicate()
    result = json.loads(output)
    assert process.returncode == 0
    assert result["refused"] == "StorageFull"
    assert result["refused_hint"]
    assert result["after"] == "ok"
    queue = await Queue.open(tmp_path / "queue.db", bytes_max=1024 * MEGABYTE, clock=ManualClock())
    assert queue.lengths()["up"].messages == result["appended"]
    await queue.close()


async def test_on_a_full_disk_removing_still_works_and_makes_room(tmp_path: Path) -> None:
    queue = await Queue.open(tmp_path / "queue.db", bytes_max=64 * MEGABYTE, clock=ManualClock())
    await limit_pages(queue, 200)
    sequences: list[int] = []
    with contextlib.suppress(StorageFull):
        for _ in range(100):
            sequences += await queue.append([Entry("up", 0, None, b"x" * 50_000, b"")])
    assert 4 < len(sequences) < 100
    held = queue.bytes_held
    with contextlib.suppress(StorageFull):
        # Removal and append meet in one transaction; the removal must not be lost if that fails.
        append = asyncio.create_task(queue.append([Entry("up", 0, None, b"x" * 700_000, b"")]))
        await queue.remove("up", sequences[:4])
        await append
    await queue.append([Entry("up", 0, None, b"y" * 50_000, b"")])
    assert queue.bytes_held == held - 3 * 50_000
    assert [entry.body[:1] for entry in await queue.peek("up", None, 1000)] == (
        [b"x"] * (len(sequences) - 4) + [b"y"]
    )
    await queue.close()
    again = await Queue.open(tmp_path / "queue.db", bytes_max=64 * MEGABYTE, clock=ManualClock())
    assert again.lengths()["up"].messages == len(sequences) - 3
    await again.close()


async def limit_pages(queue: Queue, pages: int) -> None:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    await queue._database.write(work)
