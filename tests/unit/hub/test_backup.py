"""Copies of a hub that runs: whole, of one moment, checked before they are used."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from skerry.clock import SystemClock
from skerry.contract.hub_event import Source
from skerry.contract.message import Message
from skerry.errors import AlreadyExists, Damaged, NotFound
from skerry.hub.backup import LIST_FILE, back_up, restore
from tests.unit.hub.running import RunningHub, connected, running_hub
from tests.unit.hub.test_uploads import upload

CLOCK = SystemClock()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy"


async def test_a_copy_taken_while_devices_send_is_a_hub_that_answers(tmp_path: Path, copy: Path) -> None:
    sent = 0
    async with running_hub(tmp_path / "hub", event_sources=tuple(Source)) as hub:
        document = await hub.service.create_device("dev")
        await upload(hub, hub.device_token(document), "a.jpg", b"picture")
        device = hub.device(document)

        async def keep_sending() -> None:
            nonlocal sent
            while True:
                await device.send(Message(b"%d" % (sent + 1)))
                sent += 1
                await device.report({"sent": sent})

        async with connected(device):
            sending = asyncio.create_task(keep_sending())
            while sent < 20:
                await asyncio.sleep(0.001)
            before = sent
            done = await asyncio.to_thread(back_up, hub.data_dir, copy, CLOCK)
            after = sent
            sending.cancel()
            await asyncio.wait({sending})
        assert done.vanished == 0
    restored = tmp_path / "restored"
    restore(copy, restored)
    async with running_hub(restored, event_sources=tuple(Source)) as hub:
        again = hub.device(document)
        async with connected(again):
            await again.send(Message(b"new"))
        telemetry = [e for e in await events(hub) if "opType" not in e["properties"]]
        bodies = [event["body"] for event in telemetry]
        kept = len(bodies) - 1
        assert before <= kept <= after + 1
        assert len({event["sequence"] for event in telemetry}) == len(telemetry)
        # Between the two databases no event of the hub is lost or doubled.
        changes: list[Any] = [
            e["body"] for e in await events(hub) if "updateTwin" in e["properties"].values()
        ]
        versions = [body["properties"]["reported"]["$version"] for body in changes]
        assert versions == list(range(2, len(versions) + 2))
        twin = await hub.service.twin("dev")
        assert versions[-1] >= twin["properties"]["reported"]["$version"]
        # What happens from now on comes after all of them.
        await hub.service.patch_twin("dev", tags={"restored": True})
        last = (await events(hub))[-1]
        while "tags" not in last["body"]:
            last = (await events(hub))[-1]
        assert last["body"]["tags"] == {"restored": True}
        assert (await hub.raw("GET", "/uploads/dev/a.jpg")).content == b"picture"


async def events(hub: RunningHub) -> list[Any]:
    found: list[Any] = []
    after = 0
    while True:
        page = (await hub.raw("GET", f"/events/page?after={after}&wait=0.2")).json()
        if not page["events"]:
            return found
        found += page["events"]
        after = page["next"]


def mode(path: Path) -> int:
    return path.stat().st_mode


async def test_the_copy_is_for_its_owner_only_and_names_its_files(tmp_path: Path, copy: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        back_up(hub.data_dir, copy, CLOCK)
    assert mode(copy) & 0o077 == 0
    listed = set(json.loads((copy / LIST_FILE).read_text())["files"])
    assert {"hub.db", "telemetry.db", "ca/ca.pem", "server.key.pem", "containers/catalog.db"} <= listed
    for folder, _, files in os.walk(copy):
        assert not [name for name in files if name.endswith(("-wal", "-shm", ".part"))]
        assert all(mode(Path(folder) / name) & 0o077 == 0 for name in files)


async def test_what_is_there_is_not_overwritten(tmp_path: Path, copy: Path) -> None:
    with pytest.raises(NotFound):
        back_up(tmp_path / "nothing", copy, CLOCK)
    async with running_hub(tmp_path / "hub") as hub:
        back_up(hub.data_dir, copy, CLOCK)
        with pytest.raises(AlreadyExists):
            back_up(hub.data_dir, copy, CLOCK)
        with pytest.raises(AlreadyExists):
            restore(copy, hub.data_dir)
    with pytest.raises(NotFound):
        restore(tmp_path / "hub", tmp_path / "new")
    empty = tmp_path / "empty"
    empty.mkdir()
    restore(copy, empty)
    assert (empty / "hub.db").exists()


async def test_a_changed_or_incomplete_copy_is_refused_and_leaves_nothing(tmp_path: Path, copy: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        back_up(hub.data_dir, copy, CLOCK)
    target = tmp_path / "new"
    pem = copy / "ca" / "ca.pem"
    good = pem.read_bytes()
    pem.write_bytes(good + b"\n")
    with pytest.raises(Damaged):
        restore(copy, target)
    pem.unlink()
    with pytest.raises(Damaged):
        restore(copy, target)
    pem.write_bytes(good)
    listed = json.loads((copy / LIST_FILE).read_text())
    for wrong in (
        "{",
        "[]",
        json.dumps({"files": {}}),
        json.dumps({**listed, "files": {**listed["files"], "../x": {}}}),
    ):
        (copy / LIST_FILE).write_text(wrong)
        with pytest.raises(Damaged):
            restore(copy, target)
    assert sorted(os.listdir(tmp_path)) == ["copy", "hub"]


async def test_a_file_removed_meanwhile_is_not_named_by_the_copy(tmp_path: Path, copy: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        token = hub.device_token(await hub.service.create_device("dev"))
        await upload(hub, token, "a", b"one")
        await upload(hub, token, "b", b"two")
        # As if it went between the copy of the database and that of the files.
        with closing(sqlite3.connect(hub.data_dir / "hub.db")) as connection:
            (digest,) = connection.execute("SELECT digest FROM blobs WHERE name = 'dev/a'").fetchone()
        (hub.data_dir / "uploads" / digest.removeprefix("sha256:")).unlink()
        assert back_up(hub.data_dir, copy, CLOCK).vanished == 1
    restore(copy, tmp_path / "restored")
    async with running_hub(tmp_path / "restored") as hub:
        names = [file["blobName"] for file in (await hub.raw("GET", "/uploads")).json()]
        assert names == ["dev/b"]
