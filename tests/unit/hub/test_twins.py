import asyncio
from typing import Any

import pytest

from skerry.errors import InvalidInput, NotFound, PreconditionFailed, TooLarge
from tests.unit.hub.running import RunningHub, connected


async def test_a_new_twin_is_empty_at_version_one(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    twin = await hub.service.twin("dev")
    assert (twin["version"], twin["tags"]) == (1, {})
    for section in twin["properties"].values():
        assert section["$version"] == 1
        assert set(section["$metadata"]) == {"$lastUpdated", "$lastUpdatedVersion"}


async def test_a_patch_merges_and_null_deletes(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    await hub.service.patch_twin("dev", desired={"a": {"x": 1, "y": 2}, "b": 1}, tags={"room": "a"})
    twin = await hub.service.patch_twin("dev", desired={"a": {"x": None}, "b": 2})
    desired = twin["properties"]["desired"]
    assert (desired["a"], desired["b"], desired["$version"]) == ({"y": 2}, 2, 3)
    assert desired["$metadata"]["b"]["$lastUpdatedVersion"] == 3
    assert (twin["tags"], twin["version"]) == ({"room": "a"}, 3)
    assert twin == await hub.service.twin("dev")


async def test_a_stale_etag_is_refused_and_nothing_changes(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    first = await hub.service.twin("dev")
    second = await hub.service.patch_twin("dev", desired={"a": 1}, etag=first["etag"])
    with pytest.raises(PreconditionFailed):
        await hub.service.patch_twin("dev", desired={"a": 2}, etag=first["etag"])
    assert await hub.service.twin("dev") == second


async def test_a_connected_device_hears_of_patches_and_replacements_in_order(hub: RunningHub) -> None:
    heard: asyncio.Queue[tuple[dict[str, Any], int]] = asyncio.Queue()
    device = hub.device(await hub.service.create_device("dev"))

    async def keep(patch: dict[str, Any], version: int) -> None:
        await heard.put((patch, version))

    device.on_desired = keep
    async with connected(device), asyncio.timeout(10):
        assert (await heard.get())[1] == 1
        await hub.service.patch_twin("dev", desired={"a": {"x": 1}, "b": 1})
        patch, version = await heard.get()
        assert ({k: v for k, v in patch.items() if k != "$version"}, version) == ({"a": {"x": 1}, "b": 1}, 2)
        body = {"properties": {"desired": {"b": 1, "c": 3}}}
        assert (await hub.raw("PUT", "/twins/dev", body=body)).status_code == 200
        patch, version = await heard.get()
        assert ({k: v for k, v in patch.items() if k != "$version"}, version) == ({"a": None, "c": 3}, 3)
        await asyncio.gather(*(hub.service.patch_twin("dev", desired={"n": n}) for n in range(20)))
        assert [(await heard.get())[1] for _ in range(20)] == list(range(4, 24))


async def test_reported_patches_merge_and_count(hub: RunningHub) -> None:
    async with connected(hub.device(await hub.service.create_device("dev"))) as device:
        assert await device.report({"a": {"x": 1}, "b": [1, 2]}) == 2
        assert await device.report({"a": {"x": None, "y": 1}}) == 3
        assert (await device.twin())["reported"] == {"a": {"y": 1}, "b": [1, 2], "$version": 3}
        twin = await hub.service.twin("dev")
        # The twin's own version counts what services change (contract §4.3).
        assert (twin["version"], twin["properties"]["reported"]["$version"]) == (1, 3)


async def test_an_illegal_reported_patch_is_refused_and_the_connection_stays(hub: RunningHub) -> None:
    async with connected(hub.device(await hub.service.create_device("dev"))) as device:
        with pytest.raises(InvalidInput):
            await device.report({"a.b": 1})
        assert await device.report({"a": 1}) == 2


async def test_what_many_patches_add_up_to_is_bounded(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    part = {f"q{k}": "x" * 3000 for k in range(10)}
    for n in range(4):
        await hub.service.patch_twin("dev", desired={f"p{n}": part})
    with pytest.raises(TooLarge) as caught:
        await hub.service.patch_twin("dev", desired={"p4": part})
    assert caught.value.fields["path"] == "properties.desired"


async def test_illegal_service_patches_name_their_path(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    for body, path in [
        ({"properties": {"desired": {"a": {"b c": 1}}}}, "properties.desired.a.b c"),
        ({"properties": {"desired": [1]}}, "properties.desired"),
        ({"properties": 1}, "properties"),
        ({"tags": "x"}, "tags"),
    ]:
        answer = await hub.raw("PATCH", "/twins/dev", body=body)
        assert (answer.status_code, answer.json()["path"]) == (400, path)
    assert (await hub.service.twin("dev"))["version"] == 1


async def test_twins_of_unknown_identities_are_not_found(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    with pytest.raises(NotFound) as caught:
        await hub.service.twin("ghost")
    assert caught.value.fields["code_name"] == "DeviceNotFound"
    with pytest.raises(NotFound) as caught:
        await hub.service.patch_twin("dev", "ghost", desired={})
    assert caught.value.fields["code_name"] == "ModuleNotFound"


async def test_a_module_has_a_twin_of_its_own(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    module = await hub.service.create_module("dev", "mod")
    await hub.service.patch_twin("dev", "mod", desired={"a": 1})
    async with connected(hub.device(module)) as client:
        assert (await client.twin())["desired"] == {"a": 1, "$version": 2}
    assert (await hub.service.twin("dev"))["properties"]["desired"]["$version"] == 1
