import asyncio
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from skerry.clock import ManualClock, SystemClock
from skerry.contract.message import Message
from skerry.contract.names import Identity
from skerry.errors import InvalidInput, StorageFull
from skerry.hub.schema import TELEMETRY_MIGRATIONS
from skerry.hub.telemetry import EVERYTHING, Filter, Telemetry
from skerry.store.database import Database
from tests.unit.hub.running import RunningHub, connected

DEV = Identity.parse("dev")


async def opened(path: Path) -> Database:
    return await Database.open(path / "telemetry.db", TELEMETRY_MIGRATIONS)


async def test_messages_are_read_back_in_order_by_position_and_sender(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    telemetry = Telemetry(database, ManualClock())
    senders = [DEV, Identity.parse("dev/mod"), Identity.parse("other"), DEV]
    for n, sender in enumerate(senders):
        await telemetry.append(sender, Message(b"%d" % n, {"n": str(n), "none": None}, {"messageId": f"{n}"}))
    everything = await telemetry.read(0)
    assert [event.sender for event in everything] == senders
    assert everything[1].message == Message(b"1", {"n": "1", "none": None}, {"messageId": "1"})
    assert everything[0].enqueued == "2026-01-01T00:00:00.000000Z"
    assert [event.sequence for event in await telemetry.read(2)] == [3, 4]
    assert [event.sequence for event in await telemetry.read(0, only=Filter(device="dev"))] == [1, 2, 4]
    assert [event.sequence for event in await telemetry.read(0, only=Filter("dev", ""))] == [1, 4]
    assert [event.sequence for event in await telemetry.read(0, only=Filter("dev", "mod"))] == [2]
    await database.close()


async def test_trimming_drops_the_old_and_the_many_and_never_reuses_a_sequence(tmp_path: Path) -> None:
    clock = ManualClock()
    database = await opened(tmp_path)
    telemetry = Telemetry(database, clock)
    for _ in range(3):
        await telemetry.append(DEV, Message(b"old"))
    clock.set(clock.now() + timedelta(days=2))
    for _ in range(3):
        await telemetry.append(DEV, Message(b"new"))
    assert await telemetry.trim(keep_days=1, keep_messages=100) == 3
    assert [event.message.body for event in await telemetry.read(0)] == [b"new"] * 3
    assert await telemetry.trim(keep_days=1, keep_messages=1) == 2
    clock.set(clock.now() + timedelta(days=2))
    assert await telemetry.trim(keep_days=1, keep_messages=1) == 1
    assert await telemetry.newest() == 6
    assert await telemetry.append(DEV, Message(b"next")) == 7
    await database.close()


async def test_trimming_by_bytes_drops_the_oldest_until_the_rest_fits(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    telemetry = Telemetry(database, ManualClock())
    for _ in range(100):
        await telemetry.append(DEV, Message(b"x" * 50_000))
    keep = 2_000_000
    dropped = await telemetry.trim(keep_days=1, keep_messages=1000, keep_bytes=keep)
    left = await telemetry.read(0)
    assert dropped + len(left) == 100
    assert [event.sequence for event in left] == list(range(dropped + 1, 101))
    assert 30 <= len(left) <= keep // 50_000
    assert await telemetry.trim(keep_days=1, keep_messages=1000, keep_bytes=keep) == 0
    await database.close()


async def test_a_waiting_reader_is_woken_by_a_message_of_its_sender_only(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    telemetry = Telemetry(database, SystemClock())
    reader = asyncio.create_task(telemetry.read_or_wait(0, 10, Filter("dev"), 10))
    await telemetry.append(Identity.parse("other"), Message(b"x"))
    await asyncio.sleep(0.05)
    assert not reader.done()
    await telemetry.append(DEV, Message(b"y"))
    assert [event.message.body for event in await reader] == [b"y"]
    assert await telemetry.read_or_wait(2, 10, EVERYTHING, 0.01) == []
    await database.close()


async def test_a_live_stream_gives_the_stored_then_the_new_without_gap(hub: RunningHub) -> None:
    async with connected(hub.device(await hub.service.create_device("dev"))) as device:
        await asyncio.gather(*(device.send(Message(b"%d" % n)) for n in range(300)))
        stream = hub.service.events("earliest")
        seen = [await anext(stream) for _ in range(300)]
        await device.send(Message(b"live"))
        seen.append(await anext(stream))
        await stream.aclose()
    assert [event["sequence"] for event in seen] == list(range(1, 302))
    assert all(event["bodyEncoding"] == "base64" for event in seen)


async def test_an_event_shows_who_sent_what(hub: RunningHub) -> None:
    document = await hub.service.create_device("dev")
    body = json.dumps({"ä": [1, None]}).encode()
    json_system = {"contentType": "application/json; charset=utf-8", "contentEncoding": "utf-8"}
    async with connected(hub.device(document)) as device:
        claimed = {"connectionDeviceId": "other", "connectionModuleId": "m"}
        await device.send(Message(body, {"k": "v", "none": None}, {**json_system, **claimed}))
        await device.send(Message(b"{broken", {}, json_system), output="out")
    page = (await hub.raw("GET", "/events/page?after=0&wait=5&limit=10")).json()
    first, second = page["events"]
    assert page["next"] == 2
    assert first["body"] == {"ä": [1, None]}
    assert (first["deviceId"], first["moduleId"]) == ("dev", None)
    assert first["properties"] == {"k": "v", "none": None}
    assert first["systemProperties"] == {**json_system, "connectionDeviceId": "dev"}
    assert (second["body"], second["bodyEncoding"]) == ("e2Jyb2tlbg==", "base64")
    assert second["systemProperties"]["outputName"] == "out"


async def test_a_body_that_no_json_can_carry_does_not_stop_readers(hub: RunningHub) -> None:
    says_json = {"contentType": "application/json", "contentEncoding": "utf-8"}
    bodies = [b"1e999", b'"\\ud800"', b"[" * 2000, b"\xff", b"9" * 5000, b'{"fine":1}']
    async with connected(hub.device(await hub.service.create_device("dev"))) as device:
        for body in bodies:
            await device.send(Message(body, {}, says_json))
    stream = hub.service.events("earliest")
    seen = [await anext(stream) for _ in bodies]
    await stream.aclose()
    assert [event.get("bodyEncoding") for event in seen] == [
        "base64",
        None,
        "base64",
        "base64",
        "base64",
        None,
    ]
    assert seen[1]["body"] == "\ud800"
    assert seen[-1]["body"] == {"fine": 1}
    assert len((await hub.raw("GET", "/events/page?after=0")).json()["events"]) == len(bodies)


async def test_an_edge_hub_forwards_for_its_modules_and_children_only(hub: RunningHub) -> None:
    edge = await hub.service.create_device("edge", edge=True)
    child = {"deviceId": "child", "deviceScope": edge["deviceScope"]}
    assert (await hub.raw("PUT", "/devices/child", body=child)).status_code == 200
    await hub.service.create_device("stranger")
    edge_hub = hub.device(await hub.service.module("edge", "$edgeHub"))
    origins = [("edge", "mod"), ("child", None), ("stranger", None), ("b@d", None)]
    async with connected(edge_hub):
        for device, module in origins:
            system = {"connectionDeviceId": device}
            if module:
                system["connectionModuleId"] = module
            await edge_hub.send(Message(b"x", {}, system))
    events = (await hub.raw("GET", "/events/page?after=0&wait=5")).json()["events"]
    assert [(event["deviceId"], event["moduleId"]) for event in events] == [
        ("edge", "mod"),
        ("child", None),
        ("edge", "$edgeHub"),
        ("edge", "$edgeHub"),
    ]


async def test_stream_positions_and_filters(hub: RunningHub) -> None:
    async with connected(hub.device(await hub.service.create_device("dev"))) as device:
        for n in range(3):
            await device.send(Message(b"%d" % n))
    stream = hub.service.events(1, device="dev")
    assert [(await anext(stream))["sequence"] for _ in range(2)] == [2, 3]
    await stream.aclose()
    for query in ("from=never", "from=-1", "device=a%20b"):
        assert (await hub.raw("GET", f"/events?{query}")).status_code == 400
    for query in ("limit=0", "limit=x", "wait=1000"):
        assert (await hub.raw("GET", f"/events/page?after=0&{query}")).status_code == 400
    with pytest.raises(InvalidInput):
        await anext(hub.service.events("nonsense"))


async def test_a_full_disk_means_no_acknowledgement_and_an_error_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = await opened(tmp_path)
    telemetry = Telemetry(database, ManualClock())
    await database.write(lambda connection: connection.execute("PRAGMA max_page_count = 12").fetchall())
    with pytest.raises(StorageFull):
        await telemetry.append(DEV, Message(b"x" * 200_000))
    assert "telemetry of dev not stored" in caplog.text
    assert await telemetry.read(0) == []
    assert await telemetry.append(DEV, Message(b"small")) == 1
    await database.close()


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process grows beyond 64 KiB: to SQLite that is a full disk (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_device_keeps_its_message_until_a_full_hub_has_room_again(
    hub: RunningHub, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(hub.device(await hub.service.create_device("dev"))) as device, asyncio.timeout(20):
        with full_disk():
            sending = asyncio.create_task(device.send(Message(b"x" * 200_000)))
            while "not acknowledged: the disk is full" not in caplog.text:
                await asyncio.sleep(0.01)
            assert not sending.done()
        await sending
    assert len((await hub.raw("GET", "/events/page?after=0")).json()["events"]) == 1
