import asyncio
import base64

import pytest

from skerry.errors import AlreadyExists, InvalidInput, NotAllowed, NotFound, PreconditionFailed
from tests.unit.hub.running import RunningHub, connected, key_of


async def test_a_new_device_has_generated_keys_and_no_connection(hub: RunningHub) -> None:
    created = await hub.service.create_device("dev")
    assert created == await hub.service.device("dev")
    keys = {key_of(created, "primaryKey"), key_of(created, "secondaryKey")}
    assert [len(base64.b64decode(key)) for key in keys] == [32, 32]
    assert created["connectionState"] == "Disconnected"
    assert created["lastActivityTime"] == "0001-01-01T00:00:00Z"
    assert created["deviceScope"] == ""
    assert await hub.service.modules("dev") == []


async def test_given_keys_are_stored_as_they_are(hub: RunningHub) -> None:
    primary, secondary = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
    created = await hub.service.create_device("dev", primary_key=primary, secondary_key=secondary)
    assert (key_of(created), key_of(created, "secondaryKey")) == (primary, secondary)


async def test_an_edge_device_gets_its_scope_and_system_modules(hub: RunningHub) -> None:
    created = await hub.service.create_device("edge", edge=True)
    assert created["deviceScope"] == f"ms-azure-iot-edge://edge-{created['generationId']}"
    assert [module["moduleId"] for module in await hub.service.modules("edge")] == ["$edgeAgent", "$edgeHub"]
    with pytest.raises(NotAllowed):
        await hub.service.delete_module("edge", "$edgeHub")
    with pytest.raises(InvalidInput) as caught:
        await hub.service.update_device({**created, "deviceScope": "ms-azure-iot-edge://other-1"})
    assert caught.value.fields["path"] == "deviceScope"


async def test_status_codes_are_the_ones_the_sdks_accept(hub: RunningHub) -> None:
    body = {"deviceId": "dev"}
    created = await hub.raw("PUT", "/devices/dev?api-version=2021-04-12", body=body)
    again = await hub.raw("PUT", "/devices/dev", body=body)
    module = await hub.raw("PUT", "/devices/dev/modules/mod", body={"moduleId": "mod", "deviceId": "dev"})
    assert [created.status_code, again.status_code, module.status_code] == [200, 409, 200]
    assert created.headers["etag"] == f'"{created.json()["etag"]}"'
    assert again.headers["content-type"] == "application/json; charset=utf-8"
    assert again.headers["iothub-errorcode"] == "DeviceAlreadyExists"
    assert again.json()["Message"].startswith("ErrorCode:DeviceAlreadyExists;")
    assert again.json()["ExceptionMessage"].startswith("Tracking ID:")
    assert (await hub.raw("DELETE", "/devices/dev/modules/mod")).status_code == 204
    missing = await hub.raw("GET", "/devices/dev/modules/mod")
    assert (missing.status_code, missing.headers["iothub-errorcode"]) == (404, "ModuleNotFound")
    assert (await hub.raw("DELETE", "/devices/dev")).status_code == 204


async def test_create_twice_update_absent_and_stale_etags_are_refused(hub: RunningHub) -> None:
    created = await hub.service.create_device("dev")
    with pytest.raises(AlreadyExists):
        await hub.service.create_device("dev")
    updated = await hub.service.update_device({**created, "statusReason": "first"})
    assert updated["etag"] != created["etag"]
    assert key_of(updated) == key_of(created)
    with pytest.raises(PreconditionFailed):
        await hub.service.update_device({**created, "statusReason": "second"})
    with pytest.raises(NotFound):
        await hub.service.update_device({**created, "deviceId": "other"})
    assert (await hub.service.device("dev"))["statusReason"] == "first"


async def test_delete_heeds_the_etag_and_takes_modules_along(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    await hub.service.create_module("dev", "mod")
    stale = await hub.raw("DELETE", "/devices/dev", headers={"if-match": '"stale"'})
    assert stale.status_code == 412
    await hub.service.delete_device("dev")
    with pytest.raises(NotFound):
        await hub.service.module("dev", "mod")
    with pytest.raises(NotFound):
        await hub.service.twin("dev")
    recreated = await hub.service.create_device("dev")
    assert await hub.service.modules(recreated["deviceId"]) == []


async def test_devices_are_listed_by_name_up_to_top(hub: RunningHub) -> None:
    for name in ("b", "a", "c"):
        await hub.service.create_device(name)
    assert [device["deviceId"] for device in await hub.service.devices(2)] == ["a", "b"]
    assert (await hub.raw("GET", "/devices?top=0")).status_code == 400
    statistics = await hub.raw("GET", "/statistics/devices")
    assert statistics.json() == {"totalDeviceCount": 3, "enabledDeviceCount": 3, "disabledDeviceCount": 0}


async def test_illegal_ids_and_bodies_are_refused_with_their_path(hub: RunningHub) -> None:
    assert (await hub.raw("PUT", "/devices/a%20b", body={"deviceId": "a b"})).status_code == 400
    other = await hub.raw("PUT", "/devices/a", body={"deviceId": "b"})
    assert (other.status_code, other.json()["path"]) == (400, "deviceId")
    broken = await hub.raw("PUT", "/devices/a", content=b'{"deviceId":')
    assert (broken.status_code, broken.json()["position"]) == (400, 12)
    array = await hub.raw("PUT", "/devices/a", body=[])
    assert array.status_code == 400
    for content in (b'{"statusReason":"\\ud800"}', b'{"x":1e999}', b'{"x":NaN}', b"\xff"):
        assert (await hub.raw("PUT", "/devices/a", content=content)).status_code == 400, content
    large = await hub.raw("PUT", "/devices/a", content=b" " * (1024 * 1024 + 1))
    assert (large.status_code, large.headers["iothub-errorcode"]) == (413, "MessageTooLarge")
    assert (await hub.raw("POST", "/devices/a")).status_code == 405
    assert (await hub.raw("GET", "/nothing")).status_code == 404
    assert await hub.service.devices() == []


async def test_a_device_manages_its_own_modules_with_its_own_token(hub: RunningHub) -> None:
    token = hub.device_token(await hub.service.create_device("edge", edge=True))
    await hub.service.create_device("other")
    body = {"moduleId": "mod", "deviceId": "edge", "managedBy": "iotEdge"}
    made = await hub.raw("PUT", "/devices/edge/modules/mod?api-version=2017-11-08-preview", token, body=body)
    assert (made.status_code, made.json()["managedBy"]) == (200, "iotEdge")
    listed = await hub.raw("GET", "/devices/edge/modules", token)
    assert [module["moduleId"] for module in listed.json()] == ["$edgeAgent", "$edgeHub", "mod"]
    assert (await hub.raw("GET", "/devices/edge/modules/mod", token)).json() == made.json()
    for method, path in [
        ("GET", "/devices/edge"),
        ("GET", "/devices"),
        ("GET", "/devices/other/modules"),
        ("PUT", "/devices/other/modules/mod"),
        ("GET", "/twins/edge"),
        ("GET", "/events"),
        ("POST", "/devices/edge/applyConfigurationContent"),
    ]:
        assert (await hub.raw(method, path, token, body={})).status_code == 403, path
    assert (await hub.raw("DELETE", "/devices/edge/modules/mod", token)).status_code == 204


async def test_disabling_or_deleting_a_device_ends_its_connection(hub: RunningHub) -> None:
    document = await hub.service.create_device("dev")
    async with connected(hub.device(document)) as device:
        assert (await hub.service.device("dev"))["connectionState"] == "Connected"
        assert (await hub.raw("GET", "/statistics/service")).json() == {"connectedDeviceCount": 1}
        fresh = await hub.service.device("dev")
        await hub.service.update_device({**fresh, "status": "disabled"})
        async with asyncio.timeout(5):
            while device.connected:
                await asyncio.sleep(0.01)
        assert (await hub.service.device("dev"))["connectionState"] == "Disconnected"


async def test_an_edge_device_is_written_back_as_it_was_read(hub: RunningHub) -> None:
    made = await hub.service.create_device("edge", edge=True)
    assert made["deviceScope"].startswith("ms-azure-iot-edge://edge-")
    changed = await hub.service.update_device({**made, "status": "disabled"})
    assert (changed["status"], changed["deviceScope"]) == ("disabled", made["deviceScope"])
