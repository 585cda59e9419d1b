"""The agent's direct methods, as Microsoft's tools call them."""

from __future__ import annotations

import base64
import gzip

import pytest

from skerry.clock import ManualClock
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.edge.agent.methods import AgentMethods, moment
from skerry.errors import InvalidInput
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
    assert (line["text"], line["loglevel"], line["iotHub"], line["id"]) == ("<4>warm", 4, "hub.test", "cnn")


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
