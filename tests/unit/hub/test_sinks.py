"""Events that go on to a web address: in order, tried again, given up, never shown with their secrets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from skerry.clock import ManualClock, iso
from skerry.contract.message import Message
from skerry.contract.names import Identity
from skerry.contract.sink import Sink
from skerry.hub import sink_rows
from skerry.hub.schema import TELEMETRY_MIGRATIONS
from skerry.hub.sink_rows import StoredSink
from skerry.hub.sink_worker import SinkWorker
from skerry.hub.telemetry import Telemetry
from skerry.store.database import Database
from tests.unit.hub.receiver import Json, Receiver, receiving
from tests.unit.hub.running import RunningHub, connected, running_hub

DEV = Identity.parse("dev")
JSON = {"contentType": "application/json", "contentEncoding": "utf-8"}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


async def becomes(look: Callable[[], Any], expected: Any) -> None:
    async with asyncio.timeout(20):
        while look() != expected:
            await asyncio.sleep(0.01)


class Bench:
    """One sink's worker over a log of its own, with a clock that the test moves."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.database = database
        self.clock = clock
        self.telemetry = Telemetry(database, clock)

    async def send(self, *bodies: bytes, device: str = "dev") -> None:
        for body in bodies:
            await self.telemetry.append(Identity.parse(device), Message(body, {}, JSON))

    async def stored(self) -> StoredSink:
        found = await self.database.read(lambda c: sink_rows.find(c, "s"))
        assert found is not None
        return found

    async def letters(self) -> list[Json]:
        return await self.database.read(lambda c: sink_rows.dead_letters(c, "s", 0, 100))

    @asynccontextmanager
    async def working(self, sink: Sink) -> AsyncIterator[None]:
        now = iso(self.clock.now())
        if await self.database.read(lambda c: sink_rows.find(c, "s")) is None:
            await self.database.write(lambda c: sink_rows.insert(c, sink, 0, now, "e"))
        worker = SinkWorker(self.database, self.telemetry, "hub", "s", self.clock)
        task = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def until(self, look: Callable[[], Awaitable[bool]], step_s: float = 60.0) -> None:
        """Let time pass until it is so."""
        async with asyncio.timeout(20):
            while not await look():
                await self.clock.advance(step_s)
                await asyncio.sleep(0.001)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    database = await Database.open(tmp_path / "telemetry.db", TELEMETRY_MIGRATIONS)
    yield Bench(database, ManualClock())
    await database.close()


async def test_events_go_in_order_as_cloud_events(bench: Bench, receiver: Receiver) -> None:
    sink = Sink("s", receiver.url, {"x-key": "k"}, batch=2)
    await bench.send(b"1", b"2", b"3")
    async with bench.working(sink):
        await becomes(receiver.bodies, [1, 2, 3])
        await bench.send(b"4")
        await becomes(receiver.bodies, [1, 2, 3, 4])
    assert [len(batch) for batch in receiver.asked] == [2, 1, 1]
    assert receiver.headers[0]["content-type"] == "application/cloudevents-batch+json; charset=utf-8"
    assert receiver.headers[0]["x-key"] == "k"
    assert receiver.taken[0] == {
        "specversion": "1.0",
        "id": "hub-1",
        "source": "/iothubs/hub",
        "type": "Microsoft.Devices.DeviceTelemetry",
        "subject": "devices/dev",
        "time": "2026-01-01T00:00:00.000000Z",
        "datacontenttype": "application/json",
        "data": {"properties": {}, "systemProperties": JSON, "body": 1},
    }


async def test_only_what_is_wanted_goes(bench: Bench, receiver: Receiver) -> None:
    await bench.send(b"1")
    await bench.send(b"2", device="other")
    async with bench.working(Sink("s", receiver.url, device="other")):
        await becomes(receiver.bodies, [2])


async def test_a_receiver_that_is_busy_is_asked_again_later(bench: Bench, receiver: Receiver) -> None:
    answers = [Response(status_code=503), Response(status_code=429, headers={"retry-after": "100"})]
    asked_at: list[float] = []

    def judge(batch: list[Json]) -> Response | int:
        asked_at.append(bench.clock.monotonic())
        return answers.pop(0) if answers else 204

    async def done() -> bool:
        return (await bench.stored()).delivered == 1

    receiver.judge = judge
    await bench.send(b"1")
    async with bench.working(Sink("s", receiver.url)):
        await bench.until(done, 1)
    first, second, third = asked_at
    assert second - first >= 1
    assert third - second >= 100
    assert receiver.bodies() == [1]
    assert {event["id"] for batch in receiver.asked for event in batch} == {"hub-1"}
    assert (await bench.stored()).last_error == ""


async def test_one_bad_event_does_not_hold_up_the_others(bench: Bench, receiver: Receiver) -> None:
    receiver.judge = lambda batch: 400 if any(event["data"]["body"] == 3 for event in batch) else 200
    await bench.send(*(b"%d" % n for n in range(1, 7)))
    async with bench.working(Sink("s", receiver.url)):
        await becomes(receiver.bodies, [1, 2, 4, 5, 6])
    (letter,) = await bench.letters()
    assert (letter["sequence"], letter["attempts"], letter["reason"]) == (3, 1, "the receiver answered 400")
    assert letter["event"]["data"]["body"] == 3


async def test_what_nobody_takes_is_given_up_and_kept_aside(bench: Bench, receiver: Receiver) -> None:
    gone = receiver.url.replace("/hook", "/nowhere")
    await bench.send(b"1", b"2")

    async def given_up() -> bool:
        return (await bench.stored()).dead == 2

    async with bench.working(Sink("s", gone, attempts=3)):
        await bench.until(given_up)
    stored = await bench.stored()
    assert (stored.position, stored.delivered, stored.last_error) == (2, 0, "the receiver answered 404")
    assert [(one["sequence"], one["attempts"]) for one in await bench.letters()] == [(1, 3), (2, 3)]
    assert await bench.database.write(lambda c: sink_rows.drop_dead_letters(c, "s", 1)) == 1
    assert [one["sequence"] for one in await bench.letters()] == [2]


async def test_dead_letters_are_bounded(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_rows, "DEAD_LETTERS_MAX", 2)
    receiver.judge = lambda batch: 400
    await bench.send(*(b"%d" % n for n in range(5)))

    async def given_up() -> bool:
        return (await bench.stored()).dead == 5

    async with bench.working(Sink("s", receiver.url)):
        await bench.until(given_up)
    assert [one["sequence"] for one in await bench.letters()] == [4, 5]


async def test_a_sink_goes_on_after_a_restart_of_the_hub(tmp_path: Path, receiver: Receiver) -> None:
    document = {"url": f"{receiver.url}?code=s3cret", "headers": {"authorization": "Bearer s3cret"}}
    async with running_hub(tmp_path / "hub") as hub:
        made = await hub.raw("PUT", "/events/sinks/s", body=document)
        assert made.status_code == 200
        device = hub.device(await hub.service.create_device("dev"))
        async with connected(device):
            await device.send(Message(b"1", {}, JSON))
            await becomes(receiver.bodies, [1])
            receiver.judge = lambda batch: 500
            await device.send(Message(b"2", {}, JSON))
            await becomes(lambda: len(receiver.asked) > 1, True)
        for path in ("/events/sinks", "/events/sinks/s", "/audit"):
            assert "s3cret" not in (await hub.raw("GET", path)).text
        assert "s3cret" not in made.text
        assert receiver.headers[0]["authorization"] == "Bearer s3cret"
    receiver.judge = lambda batch: 200
    async with running_hub(tmp_path / "hub") as hub:
        await becomes(receiver.bodies, [1, 2])
        (shown,) = (await hub.raw("GET", "/events/sinks")).json()
        assert (shown["url"], shown["headers"]) == (f"{receiver.url}?***", {"authorization": "***"})


async def test_sinks_are_changed_by_their_owner_and_deleted(hub: RunningHub, receiver: Receiver) -> None:
    path, document = "/events/sinks/s", {"url": receiver.url}
    assert (await hub.raw("PUT", path, hub.token("service"), body=document)).status_code == 403
    made = (await hub.raw("PUT", path, body=document)).json()
    assert (await hub.raw("PUT", path, body=document)).status_code == 409
    stale = {"if-match": '"stale"'}
    assert (await hub.raw("PUT", path, body=document, headers=stale)).status_code == 412
    current = {"if-match": made["etag"]}
    changed = await hub.raw("PUT", path, body={**document, "batch": 7}, headers=current)
    assert changed.json()["batch"] == 7
    assert (await hub.raw("GET", f"{path}/deadletters", hub.token("service"))).json() == []
    assert (await hub.raw("DELETE", f"{path}/deadletters?through=9")).json() == {"dropped": 0}
    assert (await hub.raw("DELETE", path)).status_code == 204
    assert (await hub.raw("GET", path)).status_code == 404
    told = [entry["action"] for entry in (await hub.raw("GET", "/audit?target=s")).json()]
    assert told == ["sink.delete", "sink.update", "sink.create"]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"url": "ftp://host/"},
        {"url": "https://"},
        {"url": "https://me:secret@host/"},
        {"url": "http://host:x/"},
        {"url": "http://host/", "headers": {"host": "other"}},
        {"url": "http://host/", "headers": {"a b": "c"}},
        {"url": "http://host/", "headers": {"a": "c\r\nd: e"}},
        {"url": "http://host/", "maxAttempts": 0},
        {"url": "http://host/", "batch": True},
        {"url": "http://host/", "device": "a/b"},
        {"url": "https://host/", "ca": "not a certificate"},
    ],
)
async def test_a_bad_sink_is_refused(hub: RunningHub, document: Json) -> None:
    assert (await hub.raw("PUT", "/events/sinks/s", body=document)).status_code == 400
