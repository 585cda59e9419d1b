"""Scheduled jobs: methods and twin updates over a query, through restarts."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

from skerry.clock import iso
from skerry.contract.method import MethodRequest, MethodResponse
from tests.unit.hub.running import Json, RunningHub, connected, running_hub
from tests.unit.hub.test_configurations import becomes

METHOD = {"methodName": "go", "payload": {"x": 1}, "responseTimeoutInSeconds": 5}


async def schedule(hub: RunningHub, name: str, **document: Any) -> Json:
    answer = await hub.raw("PUT", f"/jobs/v2/{name}", body={"jobId": name, **document})
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def job(hub: RunningHub, name: str) -> Json:
    found: Json = (await hub.raw("GET", f"/jobs/v2/{name}")).json()
    return found


async def ends(hub: RunningHub, name: str, status: str) -> Json:
    async def look() -> object:
        found = (await job(hub, name))["status"]
        return found if found in ("completed", "failed", "cancelled") else "…"

    await becomes(look, status)
    return await job(hub, name)


async def devices(hub: RunningHub, *names: str) -> None:
    for name in names:
        await hub.service.create_device(name)


async def parts(hub: RunningHub, query: str) -> list[Json]:
    answer = await hub.raw("POST", "/devices/query", body={"query": query})
    assert answer.headers["x-ms-item-type"] == "deviceJob"
    found: list[Json] = answer.json()
    return found


async def test_a_twin_update_reaches_every_device_of_the_query(hub: RunningHub) -> None:
    names = [f"dev{n:02}" for n in range(25)]
    await devices(hub, *names, "other")
    update = {"etag": "*", "tags": {"t": 1}, "properties": {"desired": {"d": 2}}}
    made = await schedule(
        hub,
        "update",
        type="scheduleUpdateTwin",
        updateTwin=update,
        queryCondition="startswith(deviceId, 'dev')",
        startTime="",
        maxExecutionTimeInSeconds=60,
    )
    assert made["status"] == "queued"
    done = await ends(hub, "update", "completed")
    assert done["deviceJobStatistics"] == {
        "deviceCount": 25,
        "failedCount": 0,
        "succeededCount": 25,
        "runningCount": 0,
        "pendingCount": 0,
    }
    assert (done["type"], done["queryCondition"]) == ("scheduleUpdateTwin", "startswith(deviceId, 'dev')")
    twin = await hub.service.twin("dev24")
    assert (twin["tags"], twin["properties"]["desired"]["d"]) == ({"t": 1}, 2)
    assert (await hub.service.twin("other"))["tags"] == {}
    found = await parts(hub, "SELECT * FROM devices.jobs WHERE jobId = 'update' AND deviceId = 'dev00'")
    assert [(part["jobType"], part["status"]) for part in found] == [("scheduleUpdateTwin", "completed")]
    query = "SELECT * FROM devices.jobs WHERE jobType = 'scheduleUpdateTwin' AND startTimeUtc > '2020'"
    assert len(await parts(hub, query)) == 25


async def test_a_method_job_keeps_answers_and_failures(hub: RunningHub) -> None:
    await devices(hub, "off")
    device = hub.device(await hub.service.create_device("on"))

    async def answer(request: MethodRequest) -> MethodResponse:
        return MethodResponse(201, {"got": request.payload})

    device.on_method = answer
    async with connected(device):
        await schedule(
            hub,
            "call",
            type="scheduleDeviceMethod",
            cloudToDeviceMethod=METHOD,
            queryCondition="deviceId in ['on', 'off']",
        )
        done = await ends(hub, "call", "failed")
    assert (done["deviceJobStatistics"]["failedCount"], done["deviceJobStatistics"]["succeededCount"]) == (
        1,
        1,
    )
    (on,) = await parts(hub, "SELECT * FROM devices.jobs WHERE deviceId = 'on'")
    (off,) = await parts(hub, "SELECT * FROM devices.jobs WHERE deviceId = 'off'")
    assert on["outcome"] == {"deviceMethodResponse": {"status": 201, "payload": {"got": {"x": 1}}}}
    assert off["status"] == "failed"
    assert "not online" in off["outcome"]["error"]
    query = "SELECT * FROM devices.jobs WHERE outcome.deviceMethodResponse.status = 201"
    assert [part["deviceId"] for part in await parts(hub, query)] == ["on"]


async def test_a_job_waits_for_its_time_and_can_be_cancelled(hub: RunningHub) -> None:
    await devices(hub, "dev")
    later = iso(hub.clock.now() + timedelta(hours=1))
    soon = iso(hub.clock.now() + timedelta(seconds=0.5))
    update = {"type": "scheduleUpdateTwin", "updateTwin": {"tags": {"t": 1}}, "queryCondition": "*"}
    assert (await schedule(hub, "later", **update, startTime=later))["status"] == "scheduled"
    assert (await schedule(hub, "soon", **update, startTime=soon))["status"] == "scheduled"
    await ends(hub, "soon", "completed")
    answer = await hub.raw("POST", "/jobs/v2/later/cancel")
    assert answer.json()["status"] == "cancelled"
    assert (await job(hub, "later"))["status"] == "cancelled"
    assert (await hub.raw("POST", "/jobs/v2/soon/cancel")).json()["status"] == "completed"


async def test_jobs_go_on_after_a_restart(tmp_path: Path) -> None:
    update = {"type": "scheduleUpdateTwin", "updateTwin": {"tags": {"t": 1}}, "queryCondition": "*"}
    async with running_hub(tmp_path / "hub") as hub:
        await devices(hub, "dev")
        await schedule(hub, "soon", **update, startTime=iso(hub.clock.now() + timedelta(seconds=0.3)))
    await asyncio.sleep(0.3)
    async with running_hub(tmp_path / "hub") as hub:
        await ends(hub, "soon", "completed")
        assert (await hub.service.twin("dev"))["tags"] == {"t": 1}


async def test_a_call_that_a_restart_interrupted_says_that_its_outcome_is_unknown(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        device = hub.device(await hub.service.create_device("slow"))
        asked = asyncio.Event()

        async def never(request: MethodRequest) -> MethodResponse:
            asked.set()
            await asyncio.Event().wait()
            return MethodResponse(200)

        device.on_method = never
        await device.start()
        await device.wait_connected()
        document = {"type": "scheduleDeviceMethod", "cloudToDeviceMethod": METHOD}
        await schedule(hub, "call", **document, queryCondition="*")
        async with asyncio.timeout(10):
            await asked.wait()
        assert (await job(hub, "call"))["deviceJobStatistics"]["runningCount"] == 1
    await device.stop()
    async with running_hub(tmp_path / "hub") as hub:
        await ends(hub, "call", "failed")
        (part,) = await parts(hub, "SELECT * FROM devices.jobs WHERE jobId = 'call'")
        assert part["status"] == "failed"
        assert "not known" in part["outcome"]["error"]


async def test_jobs_are_listed_by_type_and_status_in_pages(hub: RunningHub) -> None:
    update = {"type": "scheduleUpdateTwin", "updateTwin": {"tags": {"t": 1}}, "queryCondition": "*"}
    for name in ("j1", "j2", "j3"):
        await schedule(hub, name, **update)
        await ends(hub, name, "completed")
    path = "/jobs/v2/query?jobType=scheduleUpdateTwin&jobStatus=completed"
    first = await hub.raw("GET", path, headers={"x-ms-max-item-count": "2"})
    assert [item["jobId"] for item in first.json()] == ["j1", "j2"]
    assert first.headers["x-ms-item-type"] == "jobResponse"
    more = {"x-ms-continuation": first.headers["x-ms-continuation"]}
    second = await hub.raw("GET", path, headers=more)
    assert [item["jobId"] for item in second.json()] == ["j3"]
    assert "x-ms-continuation" not in second.headers
    assert (await hub.raw("GET", "/jobs/v2/query?jobStatus=failed")).json() == []
    assert (await hub.raw("GET", "/jobs/v2/query?jobStatus=odd")).status_code == 400


async def test_a_bad_job_is_refused(hub: RunningHub) -> None:
    good = {"type": "scheduleUpdateTwin", "updateTwin": {"tags": {"t": 1}}, "queryCondition": "*"}
    changes: list[Json] = [
        {"type": "dance"},
        {"jobId": "other"},
        {"queryCondition": "a ="},
        {"queryCondition": ""},
        {"updateTwin": {}},
        {"startTime": "soon"},
        {"maxExecutionTimeInSeconds": -1},
    ]
    for change in changes:
        answer = await hub.raw("PUT", "/jobs/v2/bad", body={**good, **change})
        assert answer.status_code == 400, change
    missing = await hub.raw("GET", "/jobs/v2/bad")
    assert (missing.status_code, missing.headers["iothub-errorcode"]) == (404, "JobNotFound")
    await schedule(hub, "once", **good)
    twice = await hub.raw("PUT", "/jobs/v2/once", body=good)
    assert (twice.status_code, twice.headers["iothub-errorcode"]) == (409, "JobAlreadyExists")
