"""A damaged queue file is put aside, what is readable goes on, and the status says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from skerry.clock import ManualClock, SystemClock
from skerry.edge import stores as edge_stores
from skerry.edge.hub.salvage import RESERVE_BYTES, salvage
from skerry.edge.main import EdgeAddresses, run
from skerry.edge.stores import Stores
from skerry.store.queue import Entry, Queue
from tests.support.edge import Device
from tests.support.engine import MemoryEngine

MESSAGES = 400
ENDPOINT = "upstream/edge-1/cnn"
PAGE_BYTES = 4096


async def filled(file: Path, clock: ManualClock, endpoint: str = ENDPOINT) -> None:
    queue = await Queue.open(file, bytes_max=10_000_000, clock=clock)
    await queue.append(
        [Entry(endpoint, 5, None, b"%d " % n + b"x" * 900, b"edge-1/cnn\n") for n in range(MESSAGES)]
    )
    await queue.close()


def break_pages(file: Path, first: int, last: int) -> None:
    data = bytearray(file.read_bytes())
    data[first * PAGE_BYTES : last * PAGE_BYTES] = b"\xff" * ((last - first) * PAGE_BYTES)
    file.write_bytes(data)


async def test_what_is_readable_of_a_damaged_queue_goes_on(tmp_path: Path) -> None:
    clock = ManualClock()
    settings = Device.provisioned(tmp_path / "d").settings
    await filled(settings.queue_file, clock)
    break_pages(settings.queue_file, 40, 44)
    stores = await Stores.open(settings, clock)
    try:
        status = stores.status()
        assert status["state"] == "degraded"
        assert len(status["quarantined"]) == 1
        assert (settings.data_dir / status["quarantined"][0]).exists()
        assert status["salvaged"]["complete"] is False
        found = await stores.queue.peek(ENDPOINT, None, MESSAGES)
        assert MESSAGES // 2 < len(found) < MESSAGES
        assert status["salvaged"]["messages"] == len(found)
        bodies = [int(stored.body.split()[0]) for stored in found]
        assert bodies == sorted(bodies)
        (next_sequence,) = await stores.queue.append([Entry(ENDPOINT, 5, None, b"", b"")])
        assert next_sequence > MESSAGES
    finally:
        await stores.close()
    again = await Stores.open(settings, clock)
    assert again.status() == {"state": "ok", "quarantined": []}
    await again.close()


async def test_a_file_that_is_no_queue_at_all_does_not_stop_the_device(tmp_path: Path) -> None:
    clock = ManualClock()
    settings = Device.provisioned(tmp_path / "d").settings
    settings.queue_file.write_bytes(b"not a database " * 1000)
    stores = await Stores.open(settings, clock)
    assert stores.status()["state"] == "degraded"
    assert stores.queue.lengths() == {}
    await stores.close()


@pytest.mark.parametrize("endpoint", ["upstream/edge-1/cnn", "input/cnn/image"])
async def test_damage_found_at_the_start_or_while_running_is_salvaged_without_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setattr(edge_stores, "VERIFIED_AT_START_BYTES", 0)
    clock = SystemClock()
    settings = Device.provisioned(tmp_path / "d").settings
    # Of what goes to the hub the last is looked at as the runtime starts.
    await filled(settings.queue_file, ManualClock(), endpoint)
    break_pages(settings.queue_file, 40, 44)
    stop, up = asyncio.Event(), list[EdgeAddresses]()
    running = asyncio.create_task(run(settings, stop, up.append, clock, MemoryEngine(clock)))
    try:
        async with asyncio.timeout(20):
            while len(up) < (2 if endpoint.startswith("input") else 1) and not running.done():
                await asyncio.sleep(0.01)
    finally:
        stop.set()
        await running
    aside = settings.data_dir.glob("queue.db.damaged-*")
    assert len([file for file in aside if not file.name.endswith(("-wal", "-shm"))]) == 1
    assert not list(settings.data_dir.glob("*.unsound"))
    stores = await Stores.open(settings, clock)
    assert MESSAGES // 2 < stores.queue.lengths()[endpoint].messages < MESSAGES
    await stores.queue.verify()
    await stores.close()


async def test_a_disk_too_full_for_the_copy_keeps_room_for_what_comes(tmp_path: Path) -> None:
    damaged, fresh = tmp_path / "damaged.db", tmp_path / "fresh.db"
    await filled(damaged, ManualClock())
    found = await salvage(damaged, fresh, 0, lambda _: RESERVE_BYTES + 300 * 1300)
    assert (0 < found.messages < MESSAGES, found.complete) == (True, False)
    queue = await Queue.open(fresh, bytes_max=10_000_000, clock=ManualClock())
    kept = await queue.peek(ENDPOINT, None, MESSAGES)
    # The oldest; the rest waits in the file that was put aside.
    assert [int(stored.body.split()[0]) for stored in kept] == [*range(found.messages)]
    await queue.close()
