"""Consumer groups: checkpoints are durable, and readers go on after them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from skerry.contract.message import Message
from tests.unit.hub.running import RunningHub, connected, running_hub


async def send(hub: RunningHub, count: int) -> None:
    device = hub.device(await hub.service.create_device("dev"))
    async with connected(device):
        for n in range(count):
            await device.send(Message(b"%d" % n))


async def read(hub: RunningHub, query: str) -> list[int]:
    page = (await hub.raw("GET", f"/events/page?wait=0&{query}")).json()
    return [event["sequence"] for event in page["events"]]


async def test_a_group_goes_on_after_its_checkpoint_also_after_a_restart(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        await send(hub, 5)
        made = await hub.raw("PUT", "/events/groups/line-3", body={"sequence": 2})
        assert (made.json()["sequence"], made.json()["behind"]) == (2, 3)
        assert await read(hub, "group=line-3") == [3, 4, 5]
    async with running_hub(tmp_path / "hub") as hub:
        assert await read(hub, "group=line-3") == [3, 4, 5]
        assert await read(hub, "group=line-3&after=4") == [5]
        assert await read(hub, "group=$Default") == [1, 2, 3, 4, 5]
        await hub.raw("PUT", "/events/groups/line-3", body={"sequence": "latest"})
        assert await read(hub, "group=line-3") == []
        (group,) = (await hub.raw("GET", "/events/groups")).json()
        assert (group["name"], group["sequence"], group["behind"]) == ("line-3", 5, 0)
        assert (await hub.raw("DELETE", "/events/groups/line-3")).status_code == 204
        assert (await hub.raw("GET", "/events/page?group=line-3")).status_code == 404
        assert (await hub.raw("DELETE", "/events/groups/line-3")).status_code == 404


@pytest.mark.parametrize(
    ("name", "sequence"),
    [("a b", 0), ("x" * 51, 0), ("a", -1), ("a", 7), ("a", True), ("a", "x"), ("a", None)],
)
async def test_a_bad_checkpoint_is_refused(hub: RunningHub, name: str, sequence: Any) -> None:
    answer = await hub.raw("PUT", f"/events/groups/{name}", body={"sequence": sequence})
    assert answer.status_code == 400


async def test_groups_are_bounded_and_for_services(hub: RunningHub) -> None:
    for n in range(20):
        answer = await hub.raw("PUT", f"/events/groups/g-{n}", body={"sequence": 0})
        assert answer.status_code == 200
    assert (await hub.raw("PUT", "/events/groups/more", body={"sequence": 0})).status_code == 403
    token = hub.token("registryRead")
    assert (await hub.raw("GET", "/events/groups", token)).status_code == 403


async def test_a_reader_may_begin_at_a_time(hub: RunningHub) -> None:
    await send(hub, 2)
    assert await read(hub, "after=2020-01-01") == [1, 2]
    assert await read(hub, "after=2999-01-01T00:00:00Z") == []
    assert (await hub.raw("GET", "/events/page?after=yesterday")).status_code == 400
