"""Devices as digital twins over REST; contents applied to one device or module."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.contract.method import MethodRequest, MethodResponse
from tests.unit.hub.running import RunningHub, connected, manifest


async def test_a_view_is_read_and_changed_with_its_etag(hub: RunningHub) -> None:
    device = hub.device(await hub.service.create_device("dev"))
    heard: list[Any] = []

    async def on_desired(patch: dict[str, Any], version: int) -> None:
        heard.append(patch)

    device.on_desired = on_desired
    async with connected(device):
        await device.report({"sensor": {"__t": "c", "max": 3}})
        read = await hub.raw("GET", "/digitaltwins/dev")
        assert read.json()["sensor"]["max"] == 3
        body = [{"op": "add", "path": "/sensor/limit", "value": 5}]
        stale = await hub.raw("PATCH", "/digitaltwins/dev", body=body, headers={"if-match": '"stale"'})
        assert stale.status_code == 412
        current = {"if-match": read.headers["etag"]}
        done = await hub.raw("PATCH", "/digitaltwins/dev", body=body, headers=current)
        assert (done.status_code, done.headers["location"]) == (202, "/digitaltwins/dev")
        after = await hub.raw("GET", "/digitaltwins/dev")
        assert after.headers["etag"] == done.headers["etag"]
        assert after.json()["sensor"]["$metadata"]["limit"]["desiredValue"] == 5
    assert (await hub.raw("GET", "/digitaltwins/nobody")).status_code == 404
    assert (await hub.raw("PATCH", "/digitaltwins/dev", body={"a": 1})).status_code == 400
    assert (await hub.raw("GET", "/digitaltwins/dev", hub.token("registryRead"))).status_code == 403


async def test_commands_are_methods(hub: RunningHub) -> None:
    device = hub.device(await hub.service.create_device("dev"))

    async def answer(request: MethodRequest) -> MethodResponse:
        return MethodResponse(207, {"name": request.name, "got": request.payload})

    device.on_method = answer
    async with connected(device):
        wait = "?connectTimeoutInSeconds=5&responseTimeoutInSeconds=5"
        plain = await hub.raw("POST", f"/digitaltwins/dev/commands/reboot{wait}", body={"in": 3})
        assert (plain.json(), plain.headers["x-ms-command-statuscode"]) == (
            {"name": "reboot", "got": {"in": 3}},
            "207",
        )
        inner = await hub.raw("POST", "/digitaltwins/dev/components/sensor/commands/reset")
        assert inner.json() == {"name": "sensor*reset", "got": None}
    assert (await hub.raw("POST", "/digitaltwins/dev/commands/reboot")).status_code == 404
    wrong = await hub.raw("POST", "/digitaltwins/dev/commands/reboot?connectTimeoutInSeconds=x")
    assert wrong.status_code == 400


@pytest.mark.parametrize("module", [None, "mod"])
async def test_content_is_written_by_its_paths(hub: RunningHub, module: str | None) -> None:
    await hub.service.create_device("dev")
    await hub.service.create_module("dev", "mod")
    await hub.service.patch_twin("dev", module, desired={"x": {"keep": 1}, "cool": {"old": 1}})
    path = "/devices/dev" if module is None else "/devices/dev/modules/mod"
    kind = "deviceContent" if module is None else "moduleContent"
    content = {kind: {"properties.desired.cool": {"t": 5}, "properties.desired.x.y": 2}}
    assert (await hub.raw("POST", f"{path}/applyConfigurationContent", body=content)).status_code == 204
    desired = (await hub.service.twin("dev", module))["properties"]["desired"]
    assert (desired["cool"], desired["x"]) == ({"t": 5}, {"keep": 1, "y": 2})


async def test_an_older_manifest_is_still_one(hub: RunningHub) -> None:
    await hub.service.create_device("edge", edge=True)
    older = {"moduleContent": manifest("cnn")["modulesContent"]}
    assert (await hub.raw("POST", "/devices/edge/applyConfigurationContent", body=older)).status_code == 204
    assert "cnn" in {module["moduleId"] for module in await hub.service.modules("edge")}


async def test_content_of_the_wrong_kind_is_refused(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    await hub.service.create_module("dev", "mod")
    for path, body in (
        ("/devices/dev", {"moduleContent": {"properties.desired.a": 1}}),
        ("/devices/dev/modules/mod", {"deviceContent": {"properties.desired.a": 1}}),
        ("/devices/dev", {"deviceContent": {"a": 1}}),
        ("/devices/dev", {"deviceContent": {"properties.desired.a b": 1}}),
        ("/devices/dev", {"deviceContent": {}, "moduleContent": {}}),
    ):
        answer = await hub.raw("POST", f"{path}/applyConfigurationContent", body=body)
        assert answer.status_code == 400, (path, body)
    assert (await hub.service.twin("dev"))["properties"]["desired"]["$version"] == 1
    missing = await hub.raw(
        "POST",
        "/devices/nobody/applyConfigurationContent",
        body={"deviceContent": {"properties.desired.a": 1}},
    )
    assert missing.status_code == 404
