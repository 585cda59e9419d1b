"""Configurations: kept over REST, brought to devices when either changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.hub.running import Json, RunningHub, connected, manifest, running_hub

WAIT_S = 10.0


def deployment(*modules: str, target: str = "*", priority: int = 1, **desired: Json) -> Json:
    content = manifest(*modules, **desired)
    return {"content": content, "targetCondition": target, "priority": priority}


def added(module: str, image: str, priority: int, target: str = "*") -> Json:
    """A layer with one module."""
    spec = {
        "type": "docker",
        "status": "running",
        "restartPolicy": "always",
        "settings": {"image": image},
    }
    content = {"modulesContent": {"$edgeAgent": {f"properties.desired.modules.{module}": spec}}}
    return {"content": content, "targetCondition": target, "priority": priority}


async def put(hub: RunningHub, name: str, document: Json, etag: str | None = None) -> Json:
    headers = {} if etag is None else {"if-match": etag}
    answer = await hub.raw("PUT", f"/configurations/{name}", body=document, headers=headers)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def get(hub: RunningHub, name: str) -> Json:
    found: Json = (await hub.raw("GET", f"/configurations/{name}")).json()
    return found


async def states(hub: RunningHub, device: str = "edge", module: str | None = "$edgeAgent") -> dict[str, str]:
    twin = await hub.service.twin(device, module)
    return {name: state["status"] for name, state in twin.get("configurations", {}).items()}


async def modules(hub: RunningHub, device: str = "edge") -> list[str]:
    agent = (await hub.service.twin(device, "$edgeAgent"))["properties"]["desired"]
    return sorted(agent.get("modules", {}))


async def becomes(look: Callable[[], Awaitable[Any]], expected: Any) -> None:
    """Wait until ``look`` gives what is expected."""
    async with asyncio.timeout(WAIT_S):
        while (found := await look()) != expected:
            assert found is not None
            await asyncio.sleep(0.02)


async def test_a_configuration_is_created_read_updated_listed_and_deleted(hub: RunningHub) -> None:
    document = {
        "id": "one",
        "content": {"deviceContent": {"properties.desired.a": {"b": [1, {"c": None}]}}},
        "labels": {"env": "test"},
        "targetCondition": "tags.x = 1",
        "priority": 5,
        "metrics": {
            "queries": {"all": "SELECT deviceId FROM devices", "n": "SELECT COUNT() AS n FROM devices"}
        },
    }
    await hub.service.create_device("dev")
    made = await put(hub, "one", document)
    assert made["content"] == document["content"]
    assert made["createdTimeUtc"] == made["lastUpdatedTimeUtc"]
    assert made["systemMetrics"]["results"] == {"targetedCount": 0, "appliedCount": 0}
    assert made["metrics"]["results"] == {"all": 1, "n": 1}
    assert await get(hub, "one") == made
    assert (await hub.raw("PUT", "/configurations/one", body=document)).status_code == 409
    stale = await hub.raw("PUT", "/configurations/one", body=document, headers={"if-match": '"x"'})
    assert stale.status_code == 412
    other = {**document, "content": {"deviceContent": {}}, "priority": 6}
    # As Microsoft's Python SDK sends it: bare.
    changed = await put(hub, "one", other, made["etag"])
    assert (changed["priority"], changed["content"]) == (6, document["content"])
    assert changed["etag"] != made["etag"]
    assert [c["id"] for c in (await hub.raw("GET", "/configurations?top=5")).json()] == ["one"]
    assert (await hub.raw("DELETE", "/configurations/one", headers={"if-match": "x"})).status_code == 412
    assert (await hub.raw("DELETE", "/configurations/one")).status_code == 204
    missing = await hub.raw("GET", "/configurations/one")
    assert (missing.status_code, missing.headers["iothub-errorcode"]) == (404, "ConfigurationNotFound")


async def test_a_deployment_reaches_those_it_is_for_and_counts_them(hub: RunningHub) -> None:
    for name in ("edge", "far"):
        await hub.service.create_device(name, edge=True)
    await hub.service.create_device("plain")
    await hub.service.patch_twin("edge", tags={"room": "a"})
    await put(hub, "base", deployment("cnn", target="tags.room = 'a'", cnn={"a": 1}))
    await becomes(lambda: states(hub), {"base": "Applied"})
    assert await modules(hub) == ["cnn"]
    assert (await hub.service.module("edge", "cnn"))["managedBy"] == "iotEdge"
    assert await modules(hub, "far") == []
    agent = hub.device(await hub.service.module("edge", "$edgeAgent"))
    async with connected(agent):
        await agent.report({"lastDesiredVersion": 2, "lastDesiredStatus": {"code": 200}})
    assert (await get(hub, "base"))["systemMetrics"]["results"] == {
        "targetedCount": 1,
        "appliedCount": 1,
        "reportedSuccessfulCount": 1,
        "reportedFailedCount": 0,
    }


async def test_tags_devices_and_priorities_move_devices_between_deployments(hub: RunningHub) -> None:
    await hub.service.create_device("edge", edge=True)
    await put(hub, "low", deployment("one", target="*", priority=1))
    await becomes(lambda: modules(hub), ["one"])
    made = await put(hub, "high", deployment("two", target="tags.room = 'b'", priority=2))
    await hub.service.patch_twin("edge", tags={"room": "b"})
    await becomes(lambda: states(hub), {"low": "Targeted", "high": "Applied"})
    assert await modules(hub) == ["two"]
    await put(hub, "high", {**deployment(target="tags.room = 'b'"), "priority": 0}, made["etag"])
    await becomes(lambda: states(hub), {"low": "Applied", "high": "Targeted"})
    assert await modules(hub) == ["one"]
    await hub.raw("DELETE", "/configurations/low")
    await becomes(lambda: states(hub), {"high": "Applied"})
    assert await modules(hub) == ["two"]
    await hub.raw("DELETE", "/configurations/high")
    await becomes(lambda: states(hub), {})
    assert await modules(hub) == ["two"]
    await put(hub, "all", deployment("three"))
    await hub.service.create_device("late", edge=True)
    await becomes(lambda: modules(hub, "late"), ["three"])


async def test_a_target_may_ask_for_what_a_device_reports(hub: RunningHub) -> None:
    edge = hub.device(await hub.service.create_device("edge", edge=True))
    await put(hub, "gpu", deployment("cnn", target="properties.reported.gpu = true"))
    async with connected(edge):
        await edge.report({"gpu": True})
        await becomes(lambda: modules(hub), ["cnn"])


async def test_a_target_may_ask_who_is_connected(hub: RunningHub) -> None:
    edge = hub.device(await hub.service.create_device("edge", edge=True))
    await put(hub, "off", deployment("off", target="connectionState = 'Disconnected'"))
    await put(hub, "on", deployment("on", target="connectionState = 'Connected'"))
    await becomes(lambda: modules(hub), ["off"])
    async with connected(edge):
        await becomes(lambda: modules(hub), ["on"])
        found = [
            row
            async for row in hub.service.query(
                "SELECT deviceId FROM devices WHERE connectionState = 'Connected'"
            )
        ]
        assert found == [{"deviceId": "edge"}]
    await becomes(lambda: modules(hub), ["off"])


async def test_layers_need_a_base_and_merge_on_top_of_it(hub: RunningHub) -> None:
    await hub.service.create_device("edge", edge=True)
    await put(hub, "layer", added("extra", "extra:1", 5))
    await becomes(lambda: states(hub), {"layer": "Targeted"})
    assert await modules(hub) == []
    await put(hub, "base", deployment("cnn"))
    await becomes(lambda: states(hub), {"base": "Applied", "layer": "Applied"})
    assert await modules(hub) == ["cnn", "extra"]
    await put(hub, "top", added("extra", "extra:2", 6))
    await becomes(lambda: states(hub), {"base": "Applied", "layer": "Applied", "top": "Applied"})
    agent = (await hub.service.twin("edge", "$edgeAgent"))["properties"]["desired"]
    assert agent["modules"]["extra"]["settings"]["image"] == "extra:2"


async def test_a_layer_that_breaks_the_manifest_changes_nothing(hub: RunningHub) -> None:
    await hub.service.create_device("edge", edge=True)
    await put(hub, "base", deployment("cnn"))
    await becomes(lambda: states(hub), {"base": "Applied"})
    broken = added("cam", "cam:1", 7)
    broken["content"]["modulesContent"]["$edgeHub"] = {"properties.desired.routes.up": "FROM nowhere"}
    await put(hub, "broken", broken)
    await becomes(lambda: states(hub), {"base": "Targeted", "broken": "Targeted"})
    assert await modules(hub) == ["cnn"]
    await hub.raw("DELETE", "/configurations/broken")
    await becomes(lambda: states(hub), {"base": "Applied"})


async def test_a_deployment_overwrites_what_was_applied_by_hand(hub: RunningHub) -> None:
    await hub.service.create_device("edge", edge=True)
    await hub.service.apply_configuration("edge", manifest("mine"))
    await put(hub, "base", deployment("cnn"))
    await becomes(lambda: modules(hub), ["cnn"])
    await hub.service.apply_configuration("edge", manifest("again"))
    await becomes(lambda: modules(hub), ["cnn"])


async def test_what_is_already_there_is_not_written_again(hub: RunningHub) -> None:
    await hub.service.create_device("edge", edge=True)
    await put(hub, "base", deployment("cnn", cnn={"a": 1}))
    await becomes(lambda: states(hub), {"base": "Applied"})
    await hub.service.patch_twin("edge", "cnn", desired={"a": 2})
    before = await hub.service.twin("edge", "cnn")
    await hub.service.patch_twin("edge", tags={"room": "a"})
    await put(hub, "other", deployment("other", target="tags.room = 'a'", priority=0))
    await becomes(lambda: states(hub), {"base": "Applied", "other": "Targeted"})
    # A person's later patch of a module stays until another content applies.
    assert await hub.service.twin("edge", "cnn") == before


async def test_device_and_module_configurations_write_their_paths(hub: RunningHub) -> None:
    device = hub.device(await hub.service.create_device("dev"))
    await hub.service.create_device("edge", edge=True)
    await hub.service.create_module("dev", "mod")
    await hub.service.patch_twin("dev", desired={"keep": 1, "cool": {"old": 1}})
    heard: asyncio.Queue[Json] = asyncio.Queue()

    async def keep(patch: Json, version: int) -> None:
        await heard.put({name: value for name, value in patch.items() if name != "$version"})

    device.on_desired = keep
    async with connected(device), asyncio.timeout(WAIT_S):
        assert await heard.get() == {"keep": 1, "cool": {"old": 1}}
        content = {"deviceContent": {"properties.desired.cool": {"t": 5}, "properties.desired.x.y": 1}}
        await put(hub, "cool", {"content": content, "targetCondition": "*"})
        assert await heard.get() == {"cool": {"old": None, "t": 5}, "x": {"y": 1}}
    assert await states(hub, "dev", None) == {"cool": "Applied"}
    assert await states(hub, "edge", None) == {}
    module = {"content": {"moduleContent": {"properties.desired.z": 1}}}
    await put(hub, "mods", {**module, "targetCondition": "FROM devices.modules WHERE moduleId = 'mod'"})
    await becomes(lambda: states(hub, "dev", "mod"), {"mods": "Applied"})
    assert (await hub.service.twin("dev", "mod"))["properties"]["desired"]["z"] == 1
    assert (await get(hub, "mods"))["systemMetrics"]["results"] == {"targetedCount": 1, "appliedCount": 1}


async def test_a_hub_that_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        await hub.service.create_device("edge", edge=True)
        await put(hub, "base", deployment("cnn"))
    async with running_hub(tmp_path / "hub") as hub:
        await becomes(lambda: states(hub), {"base": "Applied"})
        assert await modules(hub) == ["cnn"]


async def test_a_plan_says_what_would_change_and_changes_nothing(hub: RunningHub) -> None:
    await hub.service.create_device("edge", edge=True)
    await hub.service.create_device("other", edge=True)
    await hub.service.patch_twin("other", tags={"room": "a"})
    await put(hub, "base", deployment("cnn", cnn={"a": 1}))
    await becomes(lambda: states(hub, "other"), {"base": "Applied"})
    document = deployment("cam", target="tags.room = 'a'", priority=9, cam={"rate": 1})
    answer = await hub.raw("POST", "/configurations/next/plan", body=document)
    assert answer.status_code == 200, answer.text
    (planned,) = answer.json()
    assert planned["deviceId"] == "other"
    assert planned["configurations"] == {
        "base": {"before": "Applied", "after": "Targeted"},
        "next": {"before": None, "after": "Applied"},
    }
    assert planned["changes"]["cam"] == {"rate": 1}
    assert planned["changes"]["cnn"] is None
    assert planned["changes"]["$edgeAgent"]["modules"]["cnn"] is None
    assert await modules(hub, "other") == ["cnn"]
    assert (await hub.raw("GET", "/configurations/next")).status_code == 404


@pytest.mark.parametrize(
    ("body", "condition", "metrics"),
    [
        (
            {"targetCondition": "tags.a = 'b'", "customMetricQueries": {"m": "SELECT * FROM devices"}},
            False,
            [],
        ),
        ({"targetCondition": "tags.a =", "customMetricQueries": {"m": "SELECT"}}, True, ["m"]),
    ],
)
async def test_queries_can_be_tested(
    hub: RunningHub, body: Json, condition: bool, metrics: list[str]
) -> None:
    answer = (await hub.raw("POST", "/configurations/testQueries", body=body)).json()
    assert (answer["targetConditionError"] is not None) is condition
    assert list(answer["customMetricQueryErrors"]) == metrics
