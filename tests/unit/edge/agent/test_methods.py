"""The agent's direct methods, as Microsoft's tools call them."""

from __future__ import annotations

import asyncio
import base64
import gzip

import pytest

from skerry.clock import ManualClock
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.edge.agent.logs import moment
from skerry.edge.agent.methods import AgentMethods
from skerry.errors import InvalidInput, SkerryError, Unavailable
from skerry.store.database import Database
from tests.support.edge import agent_desired
from tests.support.engine import World
from tests.unit.edge.agent.test_agent import Bench


@pytest.fixture
async def bench(database: Database, clock: ManualClock) -> Bench:
    made = Bench(database, clock, World(registry={"cnn:1", "camera:1"}))
    made.twin.wants(agent_desired(1, cnn="cnn:1", camera="camera:1"), 1)
    await made.settle()
    return made


async def call(bench: Bench, name: str, payload: object = None) -> MethodResponse:
    methods = AgentMethods(bench.agent, bench.clock, hub="hub.test", device="edge-1")
    return await methods.invoke(MethodRequest(name, payload))


async def test_ping_in_any_case(bench: Bench) -> None:
    assert await call(bench, "PING") == MethodResponse(200, None)


async def test_an_unknown_method_is_told_which_there_are(bench: Bench) -> None:
    answer = await call(bench, "FlyAway")
    assert answer.status == 400
    assert "RestartModule" in answer.payload["message"]


async def test_restart_module(bench: Bench) -> None:
    answer = await call(bench, "RestartModule", {"schemaVersion": "1.0", "id": "cnn"})
    assert answer == MethodResponse(200, None)
    assert bench.engine.world.journal[-2:] == ["stop cnn", "start cnn"]
    assert (await call(bench, "RestartModule", {"id": "nobody"})).status == 400


async def test_logs_by_pattern_tail_and_expression(bench: Bench) -> None:
    bench.engine.writes("cnn", "<6>ready", "<3>no image", "<6>scored 1", "<6>scored 2")
    bench.engine.writes("camera", "click")
    everything = {"schemaVersion": "1.0", "items": [{"id": "c.*", "filter": {"tail": 1}}]}
    assert (await call(bench, "GetModuleLogs", everything)).payload == [
        {"id": "camera", "payload": "click\n"},
        {"id": "cnn", "payload": "<6>scored 2\n"},
    ]
    scored = {"items": [{"id": "cnn", "filter": {"regex": "scored", "tail": 5}}]}
    assert (await call(bench, "GetModuleLogs", scored)).payload[0]["payload"] == "<6>scored 1\n<6>scored 2\n"
    errors = {"items": [{"id": "cnn", "filter": {"loglevel": 3}}]}
    assert (await call(bench, "GetModuleLogs", errors)).payload[0]["payload"] == "<3>no image\n"


async def test_logs_zipped(bench: Bench) -> None:
    bench.engine.writes("cnn", "ready")
    answer = await call(bench, "GetModuleLogs", {"items": [{"id": "cnn"}], "encoding": "gzip"})
    assert gzip.decompress(base64.b64decode(answer.payload[0]["payloadBytes"])) == b"ready\n"


async def test_logs_as_json(bench: Bench) -> None:
    bench.engine.writes("cnn", "<4>warm")
    answer = await call(bench, "GetModuleLogs", {"items": [{"id": "cnn"}], "contentType": "json"})
    line = answer.payload[0]["payload"][0]
    assert (line["text"], line["loglevel"], line["iotHub"], line["id"]) == ("warm", 4, "hub.test", "cnn")


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        {"items": "cnn"},
        {"items": [{"id": "("}]},
        {"items": [{"id": "cnn", "filter": {"tail": "x"}}]},
    ],
)
async def test_bad_log_requests_are_400(bench: Bench, payload: object) -> None:
    assert (await call(bench, "GetModuleLogs", payload)).status == 400


async def test_too_much_log_is_400_with_a_hint(bench: Bench) -> None:
    bench.engine.writes("cnn", *["x" * 1000] * 200)
    answer = await call(bench, "GetModuleLogs", {"items": [{"id": "cnn"}]})
    assert answer.status == 400
    assert "tail" in answer.payload["message"]


def test_moments() -> None:
    clock = ManualClock()
    now = clock.now().timestamp()
    assert moment(None, clock) is None
    assert moment("10m", clock) == now - 600
    assert moment("1 day", clock) == now - 86400
    assert moment(1700000000, clock) == 1700000000
    assert moment("2026-01-01T00:00:00Z", clock) == now
    with pytest.raises(InvalidInput):
        moment("yesterday-ish", clock)


async def test_logs_by_level_time_and_as_json(bench: Bench) -> None:
    bench.engine.writes("cnn", "<3> old trouble")
    await bench.clock.advance(3600)
    bench.engine.writes("cnn", "<6> fine", "<3> trouble")
    level = {"items": [{"id": "cnn", "filter": {"loglevel": 3, "since": "10m"}}]}
    assert (await call(bench, "GetModuleLogs", level)).payload == [{"id": "cnn", "payload": "<3> trouble\n"}]
    before = {"items": [{"id": "cnn", "filter": {"until": "10m"}}], "contentType": "json"}
    (answer,) = (await call(bench, "GetModuleLogs", before)).payload
    assert answer["payload"] == [
        {
            "iotHub": "hub.test",
            "device": "edge-1",
            "id": "cnn",
            "stream": 1,
            "loglevel": 3,
            "text": "old trouble",
            "timestamp": "2026-01-01T00:00:00.000000Z",
        }
    ]


class Puts:
    """A web server that takes files, as far as the agent sees it."""

    def __init__(self, error: SkerryError | None = None) -> None:
        self.files: list[tuple[str, bytes, str]] = []
        self._error = error

    async def put(self, url: str, data: bytes, content_type: str) -> None:
        if self._error is not None:
            raise self._error
        self.files.append((url, data, content_type))


async def bundle(since: float | None, until: float | None, runtime_only: bool) -> bytes:
    return f"{since} {until} {runtime_only}".encode()


async def upload(bench: Bench, puts: Puts, name: str, payload: object) -> MethodResponse:
    """The status of the task once it has ended."""
    methods = AgentMethods(
        bench.agent, bench.clock, hub="hub.test", device="edge-1", upload=puts.put, bundle=bundle
    )
    begun = await methods.invoke(MethodRequest(name, payload))
    assert begun.payload["status"] == "Running", begun
    await asyncio.sleep(0)
    asked = MethodRequest("GetTaskStatus", {"correlationId": begun.payload["correlationId"]})
    return await methods.invoke(asked)


async def test_logs_are_uploaded_in_one_file(bench: Bench) -> None:
    bench.engine.writes("cnn", "one", "two")
    bench.engine.writes("camera", "click")
    puts, url = Puts(), "https://store.test/log?sig=secret"
    request = {"items": [{"id": ".*", "filter": {"tail": 1}}], "encoding": "gzip", "sasUrl": url}
    assert (await upload(bench, puts, "UploadModuleLogs", request)).payload["status"] == "Completed"
    ((where, data, kind),) = puts.files
    assert (where, kind) == (url, "application/gzip")
    assert gzip.decompress(data) == b"==> camera <==\nclick\n==> cnn <==\ntwo\n"


async def test_a_failed_upload_is_told_without_the_url(bench: Bench) -> None:
    puts = Puts(Unavailable("store.test refused the upload with status 500"))
    request = {"items": [{"id": "cnn"}], "sasUrl": "https://store.test/log?sig=secret"}
    answer = (await upload(bench, puts, "UploadModuleLogs", request)).payload
    assert answer["status"] == "Failed"
    assert "secret" not in str(answer)
    assert "500" in answer["message"]


async def test_a_support_bundle_is_uploaded(bench: Bench) -> None:
    puts = Puts()
    request = {"sasUrl": "https://store.test/b", "since": "1h", "edgeRuntimeOnly": True}
    await upload(bench, puts, "UploadSupportBundle", request)
    since = bench.clock.now().timestamp() - 3600
    assert puts.files == [("https://store.test/b", f"{since} None True".encode(), "application/zip")]


@pytest.mark.parametrize("url", [None, 3, "ftp://x", "/etc/passwd"])
async def test_a_place_to_upload_to_has_to_be_a_web_address(bench: Bench, url: object) -> None:
    answer = await call(bench, "UploadSupportBundle", {"sasUrl": url})
    assert answer.status == 400
    assert "sasUrl" in answer.payload["message"]


async def test_an_unknown_task_is_400(bench: Bench) -> None:
    assert (await call(bench, "GetTaskStatus", {"correlationId": "x"})).status == 400
    assert (await call(bench, "GetTaskStatus", {})).status == 400
