"""Who changed what: every change is in the audit log, no secret is, and it is bounded."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from skerry.clock import ManualClock, iso
from skerry.hub import audit_rows
from skerry.hub.audit_rows import Entry
from skerry.hub.schema import HUB_MIGRATIONS
from skerry.store.database import Database
from tests.unit.hub.running import RunningHub, connected, key_of, manifest

Json = dict[str, Any]


async def entries(hub: RunningHub, query: str = "") -> list[Json]:
    answer = await hub.raw("GET", f"/audit?{query}")
    assert answer.status_code == 200, answer.text
    found: list[Json] = answer.json()
    return found


def said(found: list[Json]) -> list[tuple[str, str, str]]:
    """Oldest first."""
    return [(entry["action"], entry["target"], entry["detail"]) for entry in reversed(found)]


async def test_changes_of_identities_and_twins_are_told_with_their_etags(hub: RunningHub) -> None:
    made = await hub.service.create_device("dev")
    changed = await hub.service.update_device({**made, "status": "disabled"})
    twin = await hub.service.twin("dev")
    patched = await hub.service.patch_twin("dev", desired={"pin": "s3cret", "a": 1}, tags={"room": "x"})
    await hub.service.delete_device("dev")
    found = await entries(hub, "target=dev")
    assert said(found) == [
        ("device.create", "dev", ""),
        ("device.update", "dev", "status"),
        ("twin.update", "dev", "tags.room, desired.pin, desired.a"),
        ("device.delete", "dev", ""),
    ]
    assert {(entry["who"], entry["origin"]) for entry in found} == {("policy iothubowner", "127.0.0.1")}
    etags = [(entry["before"], entry["after"]) for entry in reversed(found)]
    assert etags == [
        ("", made["etag"]),
        (made["etag"], changed["etag"]),
        (twin["etag"], patched["etag"]),
        (changed["etag"], ""),
    ]


async def test_no_secret_is_in_it(hub: RunningHub) -> None:
    made = await hub.service.create_device("dev")
    rotated = {**made, "authentication": {"type": "sas", "symmetricKey": {"primaryKey": "A" * 43 + "="}}}
    await hub.service.update_device(rotated)
    await hub.service.patch_twin("dev", desired={"pin": "s3cret"})
    text = str(await entries(hub))
    assert "keys" in text
    for secret in (key_of(made), key_of(made, "secondaryKey"), "A" * 43, "s3cret"):
        assert secret not in text


async def test_what_a_refused_caller_wanted_is_not_a_change(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    before = await entries(hub)
    assert (await hub.raw("DELETE", "/devices/dev", headers={"if-match": '"stale"'})).status_code == 412
    assert (await hub.raw("DELETE", "/devices/dev", hub.token("registryRead"))).status_code == 403
    assert await entries(hub) == before


async def test_it_says_who_acted_for_whom(hub: RunningHub) -> None:
    edge = await hub.service.create_device("edge", edge=True)
    token = hub.device_token(edge)
    body = {"deviceId": "edge", "moduleId": "own", "authentication": {"type": "sas"}}
    assert (await hub.raw("PUT", "/devices/edge/modules/own", token, body=body)).status_code == 200
    await hub.service.apply_configuration("edge", manifest("cnn"))
    condition = {"targetCondition": "tags.a = 1", "priority": 1, "content": manifest("other")}
    await hub.service.put_configuration("dep", condition)
    await hub.service.patch_twin("edge", tags={"a": 1})
    async with asyncio.timeout(10):
        while not (by_rollout := await entries(hub, "who=configurations")):
            await asyncio.sleep(0.01)
    assert ("module.create", "edge/other", "") in said(by_rollout)
    assert ("module.delete", "edge/cnn", "") in said(by_rollout)
    (own,) = await entries(hub, "target=edge/own")
    assert own["who"] == "device edge"
    assert said(await entries(hub, "target=dep"))[0][0] == "configuration.create"
    applied = [entry["action"] for entry in await entries(hub, "target=edge")]
    assert "device.applyConfigurationContent" in applied


async def test_what_a_device_reports_is_no_entry(hub: RunningHub) -> None:
    device = hub.device(await hub.service.create_device("dev"))
    async with connected(device):
        await device.report({"a": 1})
    assert said(await entries(hub)) == [("device.create", "dev", "")]


async def test_it_is_read_in_pages_by_who_may_change_things(hub: RunningHub) -> None:
    for n in range(5):
        await hub.service.create_device(f"dev-{n}")
    first = await entries(hub, "top=2")
    second = await entries(hub, f"top=2&before={first[-1]['sequence']}")
    assert [entry["target"] for entry in [*first, *second]] == ["dev-4", "dev-3", "dev-2", "dev-1"]
    assert (await hub.raw("GET", "/audit", hub.token("registryRead"))).status_code == 403
    for wrong in ("top=0", "before=x", "top="):
        assert (await hub.raw("GET", f"/audit?{wrong}")).status_code == 400


async def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_rows, "ENTRIES_MAX", 5)
    monkeypatch.setattr(audit_rows, "TRIM_EVERY", 10)
    database = await Database.open(tmp_path / "hub.db", HUB_MIGRATIONS)
    try:
        now = iso(ManualClock().now())
        for n in range(20):
            entry = Entry(now, "me", "", "did", f"{n}", "", "", "")
            await database.write(partial(audit_rows.insert, entry=entry))
        kept = await database.read(lambda c: audit_rows.listed(c, None, 100, None, None))
    finally:
        await database.close()
    assert [entry["target"] for entry in kept] == ["19", "18", "17", "16", "15"]
