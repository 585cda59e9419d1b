"""A hub of the first release goes on under this one: its data folder is brought up to date at the start."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from skerry.contract.message import Message
from skerry.contract.names import Identity
from skerry.errors import Unsupported
from skerry.hub.schema import HUB_MIGRATIONS, TELEMETRY_MIGRATIONS
from skerry.store.database import Database
from tests.unit.hub.running import connected, running_hub

FIRST = Path(__file__).parents[2] / "vectors" / "hub_first"
# In the fixture.
KEY = "b2xkLWtleS1vbGQta2V5LW9sZC1rZXktb2xkLWtleS0="


def first_release(folder: Path) -> None:
    """The databases as that release left them."""
    folder.mkdir()
    for name in ("hub", "telemetry"):
        with closing(sqlite3.connect(folder / f"{name}.db")) as connection:
            connection.executescript((FIRST / f"{name}.sql").read_text())


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


async def test_everything_is_still_there_and_what_is_new_works(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    first_release(folder)
    assert (version(folder / "hub.db"), version(folder / "telemetry.db")) == (4, 2)
    async with running_hub(folder) as hub:
        assert [device["deviceId"] for device in await hub.service.devices()] == ["dev", "edge"]
        assert {module["moduleId"] for module in await hub.service.modules("edge")} == {
            "$edgeAgent",
            "$edgeHub",
        }
        twin = await hub.service.twin("dev")
        assert twin["tags"] == {"room": "a"}
        assert twin["properties"]["desired"]["cool"] == {"t": 5}
        assert twin["properties"]["reported"]["led"] == {"on": True}
        assert twin["configurations"] == {"cool": {"status": "Applied"}}
        assert (await hub.service.enrollment("press-1"))["registrationId"] == "press-1"
        events = (await hub.raw("GET", "/events/page?wait=0")).json()["events"]
        assert [event["body"] for event in events] == [{"n": 0}, {"n": 1}, {"n": 2}]
        (account,) = await hub.service.ledger()
        assert (account["received"], account["lost"]) == (3, 0)

        device = hub.client_with_key(Identity.parse("dev"), KEY)
        async with connected(device):
            await device.send(Message(b"new"))
        events = (await hub.raw("GET", "/events/page?wait=0")).json()["events"]
        assert [event["sequence"] for event in events] == [1, 2, 3, 4]
        assert (await hub.raw("PUT", "/events/groups/g", body={"sequence": 4})).status_code == 200
        await hub.service.patch_twin("dev", tags={"room": "b"})
        audited: list[dict[str, Any]] = (await hub.raw("GET", "/audit?target=dev")).json()
        assert "twin.update" in {entry["action"] for entry in audited}
        assert (await hub.raw("GET", "/digitaltwins/dev")).status_code == 200
        assert (await hub.raw("GET", "/uploads")).json() == []
    assert version(folder / "hub.db") == len(HUB_MIGRATIONS)
    assert version(folder / "telemetry.db") == len(TELEMETRY_MIGRATIONS)


async def test_a_data_folder_of_a_later_release_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(HUB_MIGRATIONS) + 1}")
    before = path.read_bytes()
    with pytest.raises(Unsupported):
        await Database.open(path, HUB_MIGRATIONS)
    assert path.read_bytes()[100:] == before[100:]
