"""The hub's own events: what they say, that each comes once, who sees them (contract §4.8)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from skerry.amqp.performatives import RECEIVER
from skerry.contract.hub_event import Source
from skerry.contract.message import Message
from skerry.contract.names import DeviceId, Identity
from skerry.hub import outbox_rows
from skerry.hub.schema import HUB_MIGRATIONS
from skerry.hub.setup import DATABASE_FILE
from skerry.store.database import Database
from tests.unit.hub.amqp_client import amqp_client
from tests.unit.hub.running import RunningHub, connected, manifest, running_hub

Json = dict[str, Any]


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub", amqp_port=0, event_sources=tuple(Source)) as running:
        yield running


async def events(hub: RunningHub, count: int, source: str | None = None) -> list[Json]:
    """The first ``count`` events."""
    found: list[Json] = []
    after = 0
    async with asyncio.timeout(10):
        while len(found) < count:
            only = "" if source is None else f"&source={source}"
            page = (await hub.raw("GET", f"/events/page?after={after}&wait=5{only}")).json()
            found += page["events"]
            after = page["next"]
    return found


def told(event: Json) -> tuple[str, str, str | None]:
    properties = event["properties"]
    return properties["opType"], properties["deviceId"], properties.get("moduleId")


async def test_identities_come_and_go(hub: RunningHub) -> None:
    made = await hub.service.create_device("edge", edge=True)
    await hub.service.create_module("edge", "mod")
    await hub.service.delete_device("edge")
    found = await events(hub, 8, "deviceLifecycleEvents")
    assert [told(event) for event in found] == [
        ("createDeviceIdentity", "edge", None),
        ("createModuleIdentity", "edge", "$edgeAgent"),
        ("createModuleIdentity", "edge", "$edgeHub"),
        ("createModuleIdentity", "edge", "mod"),
        ("deleteModuleIdentity", "edge", "$edgeAgent"),
        ("deleteModuleIdentity", "edge", "$edgeHub"),
        ("deleteModuleIdentity", "edge", "mod"),
        ("deleteDeviceIdentity", "edge", None),
    ]
    first = found[0]
    assert first["properties"]["iothub-message-schema"] == "deviceLifecycleNotification"
    assert (first["properties"]["hubName"], first["deviceId"]) == ("localhost", "edge")
    assert first["body"]["etag"] == made["etag"]
    assert first["body"]["properties"]["desired"]["$version"] == 1
    assert "authentication" not in str(found)


async def test_twin_changes_say_what_changed(hub: RunningHub) -> None:
    device = hub.device(await hub.service.create_device("dev"))
    await hub.service.patch_twin("dev", desired={"a": 1, "gone": None}, tags={"room": "x"})
    async with connected(device):
        assert await device.report({"b": {"c": None, "d": 2}}) == 2
    replaced = {"tags": {}, "properties": {"desired": {"z": 1}}}
    assert (await hub.raw("PUT", "/twins/dev", body=replaced)).status_code == 200
    found = await events(hub, 3, "twinChangeEvents")
    assert [event["body"] for event in found] == [
        {
            "version": 2,
            "tags": {"room": "x"},
            "properties": {"desired": {"a": 1, "gone": None, "$version": 2}},
        },
        {"version": 2, "properties": {"reported": {"b": {"c": None, "d": 2}, "$version": 2}}},
        {"version": 3, "tags": {}, "properties": {"desired": {"z": 1, "$version": 3}}},
    ]
    assert [told(event)[0] for event in found] == ["updateTwin", "updateTwin", "replaceTwin"]


async def test_connections_begin_and_end_in_order(hub: RunningHub) -> None:
    device = hub.device(await hub.service.create_device("dev"))
    for _ in range(2):
        async with connected(device):
            pass
    found = await events(hub, 4, "deviceConnectionStateEvents")
    assert [told(event)[0] for event in found] == ["deviceConnected", "deviceDisconnected"] * 2
    numbers = [event["body"]["sequenceNumber"] for event in found]
    assert numbers == sorted(set(numbers))


async def test_a_deployment_makes_events_too(hub: RunningHub) -> None:
    await hub.service.create_device("edge", edge=True)
    await hub.service.apply_configuration("edge", manifest("cnn", cnn={"a": 1}))
    changed = {told(event)[2] for event in await events(hub, 3, "twinChangeEvents")}
    assert changed == {"$edgeAgent", "$edgeHub", "cnn"}


async def test_a_reader_may_take_telemetry_only(hub: RunningHub) -> None:
    device = hub.device(await hub.service.create_device("dev"))
    async with connected(device):
        await device.send(Message(b"x"))
    assert len(await events(hub, 3)) >= 3
    (only,) = await events(hub, 1, "Telemetry")
    assert only["body"] == "eA=="


async def test_readers_over_amqp_see_where_an_event_is_from(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    async with amqp_client(hub) as client:
        link = await client.attach(RECEIVER, "hub/ConsumerGroups/$Default/Partitions/0")
        event = await client.receive(link)
    annotations = {str(name): value for name, value in event.annotations.items()}
    assert annotations["iothub-message-source"] == "deviceLifecycleEvents"
    assert annotations["iothub-connection-device-id"] == "dev"
    assert event.application["opType"] == "createDeviceIdentity"


async def test_a_new_hub_stores_telemetry_only(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        await hub.service.create_device("dev")
        await hub.service.patch_twin("dev", desired={"a": 1})
        assert (await hub.raw("GET", "/events/page?after=0&wait=0")).json()["events"] == []


async def test_an_event_whose_removal_was_lost_in_a_crash_does_not_come_twice(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    async with running_hub(folder, event_sources=tuple(Source)) as hub:
        await hub.service.create_device("dev")
        (first,) = await events(hub, 1)
    database = await Database.open(folder / DATABASE_FILE, HUB_MIGRATIONS)
    try:
        # As if the event log had taken the event, and the hub had died before the outbox forgot it.
        message = Message(b"again", {}, {})
        await database.write(lambda c: outbox_rows.insert(c, Identity(DeviceId("dev")), "now", message))
        await database.write(lambda c: c.execute("UPDATE outbox SET sequence = 1").rowcount)
    finally:
        await database.close()
    async with running_hub(folder, event_sources=tuple(Source)) as hub:
        await hub.service.create_device("other")
        found = await events(hub, 2)
        assert [told(event) for event in found] == [
            ("createDeviceIdentity", "dev", None),
            ("createDeviceIdentity", "other", None),
        ]
        assert found[0] == first
