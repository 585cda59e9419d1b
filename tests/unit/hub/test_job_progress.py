"""A running job says how far it is, device by device (contract §4.7)."""

from __future__ import annotations

import asyncio

from skerry.contract.method import MethodRequest, MethodResponse
from tests.unit.hub.running import RunningHub, connected
from tests.unit.hub.test_configurations import becomes
from tests.unit.hub.test_jobs import METHOD, ends, job, parts, schedule


async def test_progress_is_told_while_a_device_is_still_busy(hub: RunningHub) -> None:
    quick = hub.device(await hub.service.create_device("quick"))
    slow = hub.device(await hub.service.create_device("slow"))
    release = asyncio.Event()

    async def answer(request: MethodRequest) -> MethodResponse:
        return MethodResponse(200)

    async def wait(request: MethodRequest) -> MethodResponse:
        await release.wait()
        return MethodResponse(200)

    async def statistics() -> list[int]:
        told = (await job(hub, "call"))["deviceJobStatistics"]
        return [told["deviceCount"], told["succeededCount"], told["runningCount"], told["pendingCount"]]

    quick.on_method, slow.on_method = answer, wait
    async with connected(quick), connected(slow):
        called = {**METHOD, "connectTimeoutInSeconds": 10}
        await schedule(
            hub, "call", type="scheduleDeviceMethod", cloudToDeviceMethod=called, queryCondition="*"
        )
        await becomes(statistics, [2, 1, 1, 0])
        assert (await job(hub, "call"))["status"] == "running"
        query = "SELECT * FROM devices.jobs WHERE deviceId = 'slow'"
        assert [part["status"] for part in await parts(hub, query)] == ["running"]
        release.set()
        await ends(hub, "call", "completed")
        assert await statistics() == [2, 2, 0, 0]
