"""Queries against a hub with devices of every sort; in memory they answer the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from skerry.contract.query import Collection, parse_query, run
from tests.unit.hub.running import Json, RunningHub, connected, manifest, running_hub

AGENT_REPORT = {"lastDesiredVersion": 2, "lastDesiredStatus": {"code": 200, "description": ""}}


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub") as hub:
        edge = await hub.service.create_device("edge", edge=True)
        await hub.service.apply_configuration("edge", manifest("cnn", cnn={"threshold": 0.5}))
        tagged: dict[str, Json] = {
            "a": {"room": "a", "floor": 1},
            "b": {"room": "b", "floor": 2, "shiny": True},
            "c": {"floor": "1"},
            "d": {"room": None, "deep": {"list": [1, "x"]}},
        }
        for name, tags in tagged.items():
            await hub.service.create_device(name)
            await hub.service.patch_twin(name, tags=tags)
        child = await hub.service.device("d")
        await hub.service.update_device({**child, "deviceScope": edge["deviceScope"]})
        await hub.service.update_device(
            {**await hub.service.device("c"), "status": "disabled", "statusReason": "it's broken"}
        )
        async with (
            connected(hub.device(await hub.service.device("a"))) as device,
            connected(hub.device(await hub.service.module("edge", "$edgeAgent"))) as agent,
        ):
            await device.report({"y": 1, "model": {"digest": "sha256:1"}})
            await agent.report(AGENT_REPORT)
            yield hub


async def ask(hub: RunningHub, query: str, **headers: str) -> tuple[list[Any], dict[str, str]]:
    named = {f"x-ms-{name.replace('_', '-')}": value for name, value in headers.items()}
    answer = await hub.raw("POST", "/devices/query", body={"query": query}, headers=named)
    assert answer.status_code == 200, answer.text
    return answer.json(), dict(answer.headers)


async def documents(hub: RunningHub, collection: Collection) -> list[Json]:
    """Every document, read one by one through the twin API."""
    found = []
    for device in await hub.service.devices():
        name = device["deviceId"]
        if collection is Collection.DEVICES:
            found.append(await hub.service.twin(name))
        elif collection is Collection.MODULES:
            modules = await hub.service.modules(name)
            found += [await hub.service.twin(name, module["moduleId"]) for module in modules]
    return found


# Contract §7, "Queries really used", then what else the language can say, each with how many rows it has.
QUERIES = [
    ("SELECT * FROM devices", 5),
    ("SELECT * FROM devices where capabilities.iotEdge = true", 1),
    ("SELECT deviceId FROM devices", 5),
    ("SELECT deviceId, deviceScope FROM devices", 5),
    ("select * from devices where deviceId in ['a','b']", 2),
    ("select * from devices where deviceId nin ['a','b']", 3),
    ("SELECT * FROM devices.modules where devices.deviceId='edge'", 3),
    ("select deviceId from devices.modules where moduleId = '$edgeAgent'", 1),
    (
        "select deviceId from devices.modules where moduleId = '$edgeAgent'"
        " and properties.desired.$version = properties.reported.lastDesiredVersion"
        " and properties.reported.lastDesiredStatus.code = 200",
        1,
    ),
    ("select deviceId from devices.modules where properties.reported.lastDesiredStatus.code != 200", 0),
    ("SELECT * FROM devices WHERE deviceId = 'a'", 1),
    ("SELECT * FROM devices WHERE tags.room = 'a'", 1),
    ("SELECT * FROM devices WHERE NOT tags.room = 'a'", 1),
    ("SELECT * FROM devices WHERE properties.reported.y = 1", 1),
    ("SELECT * FROM devices WHERE tags.floor = 1", 1),
    ("SELECT * FROM devices WHERE tags.floor = '1'", 1),
    ("SELECT * FROM devices WHERE tags.floor > 0", 2),
    ("SELECT * FROM devices WHERE tags.floor * 2 - 1 = 3", 1),
    ("SELECT * FROM devices WHERE is_defined(tags.room)", 2),
    ("SELECT * FROM devices WHERE tags.deep.list[0] = 1 AND array_contains(tags.deep.list, 'x')", 1),
    ("SELECT * FROM devices WHERE connectionState = 'Connected'", 1),
    ("SELECT * FROM devices.modules WHERE connectionState = 'Connected'", 1),
    ("SELECT * FROM devices WHERE lastActivityTime > '2020-01-01T00:00:00Z'", 1),
    ("SELECT * FROM devices WHERE status = 'disabled' AND statusReason = 'it''s broken'", 1),
    ("SELECT * FROM devices WHERE is_null(statusReason)", 4),
    ("SELECT * FROM devices WHERE is_string(statusReason)", 1),
    ("SELECT * FROM devices WHERE x509Thumbprint.primaryThumbprint = null", 5),
    ("SELECT * FROM devices WHERE is_object(properties.desired) and is_object(capabilities)", 5),
    ("SELECT * FROM devices WHERE properties.desired.$metadata.$lastUpdatedVersion = 1", 5),
    ("SELECT * FROM devices WHERE properties.reported.$version > 1 OR version > 1", 4),
    ("SELECT * FROM devices WHERE startswith(deviceScope, 'ms-azure-iot-edge://edge-')", 2),
    ("SELECT * FROM devices WHERE cloudToDeviceMessageCount = 0 AND authenticationType = 'sas'", 5),
    ("SELECT * FROM devices WHERE moduleId = 'x' OR nowhere.at = 1 OR properties.other = 1", 0),
    ("SELECT * FROM devices.modules WHERE is_defined(tags) OR is_defined(configurations)", 0),
    ("SELECT TOP 2 deviceId, tags.room AS where_it_is FROM devices", 2),
    ("SELECT COUNT() AS n FROM devices", 1),
    ("SELECT COUNT() AS n, SUM(tags.floor) AS s, status FROM devices GROUP BY status", 2),
    ("SELECT connectionState, COUNT() FROM devices GROUP BY connectionState", 2),
    ("SELECT MIN(version) AS low, MAX(version) AS high, AVG(tags.floor) AS m FROM devices", 1),
    ("SELECT capabilities.iotEdge, COUNT() AS n FROM devices c GROUP BY capabilities.iotEdge", 2),
    ("SELECT c.moduleId FROM devices.modules c WHERE endswith(c.moduleId, 'nn')", 1),
]


async def test_every_query_answers_as_it_does_in_memory(fleet: RunningHub) -> None:
    known = {c: await documents(fleet, c) for c in (Collection.DEVICES, Collection.MODULES)}
    for text, count in QUERIES:
        query = parse_query(text)
        items, headers = await ask(fleet, text)
        assert items == run(query, known[query.collection]), text
        assert len(items) == count, text
        projected = query.projections or query.aggregates
        assert headers["x-ms-item-type"] == ("raw" if projected else "twin"), text


async def test_children_are_found_by_their_parents(fleet: RunningHub) -> None:
    scope = (await fleet.service.device("edge"))["deviceScope"]
    document = {**await fleet.service.device("b"), "parentScopes": [scope]}
    await fleet.service.update_device(document)
    query = f"select deviceId from devices where array_contains(parentScopes, '{scope}')"
    assert (await ask(fleet, query))[0] == [{"deviceId": "b"}]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM devices",
        "SELECT deviceId FROM devices.modules",
        "SELECT TOP 3 deviceId FROM devices",
        "SELECT deviceId, COUNT() AS n FROM devices GROUP BY deviceId",
        "SELECT TOP 3 deviceId, COUNT() AS n FROM devices GROUP BY deviceId",
    ],
)
async def test_pages_add_up_to_the_whole(fleet: RunningHub, query: str) -> None:
    whole, headers = await ask(fleet, query)
    assert "x-ms-continuation" not in headers
    pages: list[Any] = []
    more: dict[str, str] = {}
    while True:
        items, headers = await ask(fleet, query, max_item_count="2", **more)
        assert len(items) <= 2
        pages += items
        if "x-ms-continuation" not in headers:
            break
        more = {"continuation": headers["x-ms-continuation"]}
    assert pages == whole


async def test_a_continuation_of_another_query_or_a_forged_one_is_refused(fleet: RunningHub) -> None:
    _, headers = await ask(fleet, "SELECT * FROM devices", max_item_count="2")
    token = headers["x-ms-continuation"]
    forged = ["A" + token[1:], token[:-2], "x", "%%", "AAAA"]
    for query, used in [
        ("SELECT deviceId FROM devices", token),
        *[("SELECT * FROM devices", f) for f in forged],
    ]:
        answer = await fleet.raw(
            "POST",
            "/devices/query",
            body={"query": query},
            headers={"x-ms-continuation": used},
        )
        assert (answer.status_code, answer.headers["iothub-errorcode"]) == (400, "ArgumentInvalid"), used


async def test_a_bad_query_names_the_position(fleet: RunningHub) -> None:
    answer = await fleet.raw("POST", "/devices/query", body={"query": "SELECT * FROM devices WHERE"})
    assert answer.status_code == 400
    assert answer.json()["position"] == 27
    for body in ({}, {"query": 5}, {"query": "x" * 40_000}):
        assert (await fleet.raw("POST", "/devices/query", body=body)).status_code == 400
    bad_size = await fleet.raw(
        "POST",
        "/devices/query",
        body={"query": "SELECT * FROM devices"},
        headers={"x-ms-max-item-count": "-1"},
    )
    assert bad_size.status_code == 400


async def test_only_a_policy_with_service_rights_may_query(fleet: RunningHub) -> None:
    body = {"query": "SELECT * FROM devices"}
    refused = await fleet.raw("POST", "/devices/query", fleet.token("registryRead"), body=body)
    assert refused.status_code == 403
    assert (await fleet.raw("POST", "/devices/query", "", body=body)).status_code == 401


async def test_our_client_reads_all_pages(fleet: RunningHub) -> None:
    rows = [row async for row in fleet.service.query("SELECT deviceId FROM devices", page=2)]
    assert [row["deviceId"] for row in rows] == ["a", "b", "c", "d", "edge"]
