import asyncio

import pytest

from skerry.errors import InvalidInput, NotFound
from tests.unit.hub.running import Json, RunningHub, connected, manifest


async def snapshot(hub: RunningHub) -> object:
    modules = await hub.service.modules("edge")
    return modules, [await hub.service.twin("edge", module["moduleId"]) for module in modules]


async def test_a_manifest_makes_modules_and_their_desired_properties(hub: RunningHub) -> None:
    await hub.service.create_device("edge", edge=True)
    document = manifest(
        "cnn", "cam", cnn={"threshold": 0.5}, routes={"up": "FROM /messages/* INTO $upstream"}
    )
    await hub.service.apply_configuration("edge", document)
    managed = {module["moduleId"]: module["managedBy"] for module in await hub.service.modules("edge")}
    assert managed == {"$edgeAgent": "", "$edgeHub": "", "cam": "iotEdge", "cnn": "iotEdge"}
    agent = (await hub.service.twin("edge", "$edgeAgent"))["properties"]["desired"]
    assert set(agent["modules"]) == {"cnn", "cam"}
    assert agent["$version"] == 2
    cnn = (await hub.service.twin("edge", "cnn"))["properties"]["desired"]
    assert (cnn["threshold"], cnn["$version"]) == (0.5, 2)
    assert (await hub.service.twin("edge", "cam"))["properties"]["desired"]["$version"] == 1


async def test_the_next_manifest_replaces_and_removes_only_what_a_deployment_made(hub: RunningHub) -> None:
    await hub.service.create_device("edge", edge=True)
    await hub.service.create_module("edge", "mine")
    await hub.service.apply_configuration("edge", manifest("cnn", "cam", cnn={"a": 1, "b": 1}))
    cnn = await hub.service.module("edge", "cnn")
    await hub.service.apply_configuration("edge", manifest("cnn", cnn={"b": 2}))
    assert [m["moduleId"] for m in await hub.service.modules("edge")] == [
        "$edgeAgent",
        "$edgeHub",
        "cnn",
        "mine",
    ]
    assert await hub.service.module("edge", "cnn") == cnn
    desired = (await hub.service.twin("edge", "cnn"))["properties"]["desired"]
    assert {name: desired[name] for name in desired if not name.startswith("$")} == {"b": 2}


async def test_connected_modules_hear_of_it_and_removed_ones_are_cut_off(hub: RunningHub) -> None:
    await hub.service.create_device("edge", edge=True)
    await hub.service.apply_configuration("edge", manifest("cnn", cnn={"a": 1}))
    cnn = hub.device(await hub.service.module("edge", "cnn"))
    heard: asyncio.Queue[dict[str, object]] = asyncio.Queue()

    async def keep(patch: dict[str, object], version: int) -> None:
        await heard.put({name: value for name, value in patch.items() if name != "$version"})

    cnn.on_desired = keep
    async with connected(cnn), asyncio.timeout(10):
        assert await heard.get() == {"a": 1}
        await hub.service.apply_configuration("edge", manifest("cnn", cnn={"b": 2}))
        assert await heard.get() == {"a": None, "b": 2}
        await hub.service.apply_configuration("edge", manifest())
        while cnn.last_error is None:
            await asyncio.sleep(0.01)
        assert not cnn.connected


async def test_a_malformed_manifest_names_the_path_and_changes_nothing(hub: RunningHub) -> None:
    await hub.service.create_device("edge", edge=True)
    await hub.service.apply_configuration("edge", manifest("cnn", cnn={"a": 1}))
    before = await snapshot(hub)
    bad = manifest("cnn", "new", cnn={"a": 2})
    agent = bad["modulesContent"]["$edgeAgent"]["properties.desired"]
    agent["modules"]["new"]["status"] = "dancing"
    with pytest.raises(InvalidInput) as caught:
        await hub.service.apply_configuration("edge", bad)
    path = "modulesContent.$edgeAgent.properties.desired.modules.new.status"
    assert (caught.value.fields["path"], caught.value.fields["value"]) == (path, "dancing")
    no_agent: Json = {"modulesContent": {"$edgeHub": {"properties.desired": {}}}}
    for broken in [{}, {"modulesContent": {}}, no_agent]:
        with pytest.raises(InvalidInput):
            await hub.service.apply_configuration("edge", broken)
    illegal = manifest("cnn", cnn={"a b": 1})
    with pytest.raises(InvalidInput) as caught:
        await hub.service.apply_configuration("edge", illegal)
    assert caught.value.fields["path"] == "modulesContent.cnn.properties.desired.a b"
    assert await snapshot(hub) == before


async def test_a_bad_route_names_the_position(hub: RunningHub) -> None:
    await hub.service.create_device("edge", edge=True)
    before = await snapshot(hub)
    with pytest.raises(InvalidInput) as caught:
        await hub.service.apply_configuration(
            "edge", manifest(routes={"up": "FROM /messages/* INTO $nowhere"})
        )
    assert caught.value.fields["position"] == 22
    assert caught.value.fields["path"] == "modulesContent.$edgeHub.properties.desired.routes.up"
    assert await snapshot(hub) == before


async def test_only_an_edge_device_takes_a_manifest(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    with pytest.raises(InvalidInput, match="not an edge device"):
        await hub.service.apply_configuration("dev", manifest())
    with pytest.raises(NotFound):
        await hub.service.apply_configuration("ghost", manifest())
    assert await hub.service.modules("dev") == []
