"""Many devices in one call, each in its own import mode."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.errors import NotFound
from tests.unit.hub.running import Json, RunningHub


async def bulk(hub: RunningHub, *entries: Any, status: int = 200) -> Json:
    answer = await hub.raw("POST", "/devices", body=list(entries))
    assert answer.status_code == status, answer.text
    found: Json = answer.json()
    return found


async def test_devices_and_modules_are_created_with_their_twins(hub: RunningHub) -> None:
    result = await bulk(
        hub,
        {"id": "a", "importMode": "create", "tags": {"t": 1}, "properties": {"desired": {"d": 2}}},
        {"id": "b", "importMode": "createOrUpdate", "status": "disabled", "capabilities": {"iotEdge": True}},
        {"id": "a", "moduleId": "m", "importMode": "Create"},
    )
    assert result == {"isSuccessful": True, "errors": [], "warnings": []}
    twin = await hub.service.twin("a")
    assert (twin["tags"], twin["properties"]["desired"]["d"]) == ({"t": 1}, 2)
    assert (await hub.service.device("b"))["status"] == "disabled"
    assert (await hub.service.module("a", "m"))["moduleId"] == "m"


async def test_every_mode_keeps_to_its_etag(hub: RunningHub) -> None:
    made = await hub.service.create_device("a")
    twin = await hub.service.twin("a")
    right, wrong = made["etag"], "wrong"
    cases: list[tuple[str, Json, str | None]] = [
        ("create", {}, "DeviceAlreadyExists"),
        ("updateIfMatchETag", {"eTag": wrong}, "PreconditionFailed"),
        ("updateIfMatchETag", {}, "PreconditionFailed"),
        ("createOrUpdateIfMatchETag", {"eTag": wrong}, "PreconditionFailed"),
        ("deleteIfMatchETag", {"eTag": wrong}, "PreconditionFailed"),
        ("updateTwinIfMatchETag", {"twinETag": wrong, "tags": {"x": 1}}, "PreconditionFailed"),
        ("updateTwinIfMatchETag", {"twinETag": twin["etag"], "tags": {"x": 1}}, None),
        ("updateTwin", {"tags": {"y": 1}}, None),
        ("updateIfMatchETag", {"eTag": right, "status": "disabled"}, None),
        ("update", {"status": "enabled"}, None),
        ("createOrUpdate", {"statusReason": "why"}, None),
        ("delete", {}, None),
        ("createOrUpdateIfMatchETag", {"eTag": wrong}, None),
        ("delete", {}, None),
        ("delete", {}, "DeviceNotFound"),
        ("update", {}, "DeviceNotFound"),
        ("updateTwin", {}, "DeviceNotFound"),
    ]
    for mode, fields, code in cases:
        status = 200 if code is None else 400
        result = await bulk(hub, {"id": "a", "importMode": mode, **fields}, status=status)
        assert [error["errorCode"] for error in result["errors"]] == ([code] if code else []), (mode, fields)


async def test_one_bad_entry_does_not_stop_the_others(hub: RunningHub) -> None:
    result = await bulk(
        hub,
        {"id": "a", "importMode": "create"},
        {"id": "no spaces please", "importMode": "create"},
        {"id": "b", "importMode": "explode"},
        {"id": "c", "importMode": "create", "tags": {"a.b": 1}},
        {"id": "d", "importMode": "create"},
        status=400,
    )
    assert not result["isSuccessful"]
    assert [error["deviceId"] for error in result["errors"]] == ["no spaces please", "b", "c"]
    assert {d["deviceId"] for d in await hub.service.devices()} == {"a", "c", "d"}
    with pytest.raises(NotFound):
        await hub.service.device("b")


async def test_a_malformed_call_changes_nothing(hub: RunningHub) -> None:
    bodies: list[Any] = [[], {}, "x", [{"id": f"d{n}"} for n in range(101)]]
    for body in bodies:
        assert (await hub.raw("POST", "/devices", body=body)).status_code == 400
    refused = await hub.raw("POST", "/devices", hub.token("registryRead"), body=[{"id": "a"}])
    assert refused.status_code == 403
    assert await hub.service.devices() == []
