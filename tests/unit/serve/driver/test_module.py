"""A user's script behind messages: bodies as they are, in order, its failures told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from skerry.clock import SystemClock
from skerry.contract.message import Message
from skerry.contract.method import MethodRequest
from skerry.protocol.claims import ClaimSettings, ClaimStore, claim_message
from skerry.serve.driver.names import Names, RawHttp
from skerry.serve.driver.script import SCRIPT_FAILED, Script
from skerry.serve.driver.serving import serve_driver
from skerry.serve.environment import read_environment
from tests.unit.serve.memory_hub import MemoryHub, running_hub
from tests.unit.serve.test_as_module import edge_environment, workload_api

# As ``iot-server`` of Azure ML's images fed scripts: JSON text in, whatever it returns out.
PLAIN = """
import json
def init(): pass
def run(data):
    numbers = json.loads(data)["data"]
    return [sum(numbers), 1 / numbers[0]]
"""

RAW = """
from azureml.contrib.services.aml_request import rawhttp
from azureml.contrib.services.aml_response import AMLResponse
def init(): pass
@rawhttp
def run(request):
    kind, body = request.headers["Content-Type"], request.get_data(False)
    return AMLResponse(f"{kind} {len(body)}", 200)
"""


@asynccontextmanager
async def driven(tmp_path: Path, text: str) -> AsyncIterator[tuple[MemoryHub, str]]:
    """The hub, and the module's address, of a script on an edge device."""
    (tmp_path / "score.py").write_text(text)
    hub, stopping, raw = MemoryHub(), asyncio.Event(), RawHttp()
    names = Names(raw)
    async with running_hub(hub) as running, workload_api(tmp_path / "w.sock", running.root_pem):
        environ = edge_environment(tmp_path / "w.sock", running.port)
        environ["SKERRY_CLAIMS_DIR"] = str(tmp_path / "claims")
        settings = read_environment(environ, cpus=1)
        script = Script.load(tmp_path / "score.py", names, raw, model_dir=tmp_path)
        module = asyncio.create_task(
            serve_driver(settings, script, environ, stopping, clock=SystemClock(), graceful_s=1)
        )
        try:
            await hub.listener()
            yield hub, f"http://127.0.0.1:{settings.http_port}"
        finally:
            stopping.set()
            await module
            names.remove()


@pytest.fixture
def _python_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script's folder goes on the path; not beyond its test."""
    monkeypatch.syspath_prepend(".")


@pytest.mark.usefixtures("_python_path")
async def test_a_messages_body_is_posted_unchanged_and_the_answer_sent_unchanged(tmp_path: Path) -> None:
    async with driven(tmp_path, PLAIN) as (hub, url):
        session = await hub.listener()
        body = json.dumps({"data": [2, 3]}).encode()
        await session.send_input("amlInput", Message(body, {"line": "7"}, {"messageId": "m1"}))
        [answer] = hub.messages
        async with httpx.AsyncClient(trust_env=False) as http:
            posted = await http.post(f"{url}/score", content=body)
        assert answer.body == posted.content == b"[5, 0.5]"
        assert answer.properties == {"line": "7", "AzureMLResponse": "OK"}
        assert answer.system["outputName"] == "amlOutput"
        assert answer.system["correlationId"] == "m1"
        assert answer.system["contentType"] == "application/json"


@pytest.mark.usefixtures("_python_path")
async def test_a_script_that_fails_is_told_and_the_next_message_is_answered(tmp_path: Path) -> None:
    async with driven(tmp_path, PLAIN) as (hub, _):
        session = await hub.listener("methods")
        for data in (b"\xff", b'{"data": [0]}', b'{"data": [4]}'):
            await session.send_input("amlInput", Message(data))
        assert [m.properties["AzureMLResponse"] for m in hub.messages] == ["Error", "Error", "OK"]
        assert json.loads(hub.messages[1].body) == {"message": SCRIPT_FAILED}
        status = await session.invoke(MethodRequest("status"))
        assert (status.payload["answered"], status.payload["failed"]) == (1, 2)
        assert (await session.invoke(MethodRequest("predict"))).status == 404


@pytest.mark.usefixtures("_python_path")
async def test_a_raw_script_sees_the_senders_type_and_a_claims_body(tmp_path: Path) -> None:
    claims = ClaimStore(ClaimSettings(tmp_path / "claims"), SystemClock())
    async with driven(tmp_path, RAW) as (hub, _):
        session = await hub.listener()
        small = Message(b"12345", {}, {"contentType": "image/jpeg"})
        large = Message(bytes(300_000), {}, {"contentType": "image/png"})
        lost = claim_message(large, "sha256:" + "0" * 64)
        for message in (small, claim_message(large, claims.put(large.body)), lost):
            await session.send_input("amlInput", message)
        assert [m.body for m in hub.messages[:2]] == [b"image/jpeg 5", b"image/png 300000"]
        assert hub.messages[0].system["contentType"] == "text/html"
        assert hub.messages[2].properties["AzureMLResponse"] == "Error"
