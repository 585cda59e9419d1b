"""The CNN module as a process gets another model through its twin while requests stream in: none is lost."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import pytest

from skerry.contract.method import MethodRequest
from tests.unit.serve.memory_hub import MemoryHub, RunningHub, running_hub
from tests.unit.serve.support import RED, make_package, picture
from tests.unit.serve.test_as_module import edge_environment, workload_api
from tests.unit.serve.update.packages import sharp_expected, sharp_package, tar_of, zip_of
from tests.unit.serve.update.web import File, Web, web_server

pytestmark = pytest.mark.system

START_S = 30.0
CLIENTS = 4
SWITCHES = 50
IMAGE = picture(RED)


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        yield running


@dataclass
class Device:
    """What a module needs around it, and the module's process, which may be started again and again."""

    folder: Path
    hub: MemoryHub
    running: RunningHub
    settings: dict[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    url: str = ""

    async def start(self) -> None:
        environ = edge_environment(self.folder / "w.sock", self.running.port)
        self.url = f"http://127.0.0.1:{environ['SKERRY_HTTP_PORT']}"
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "skerry.serve.main"),
            env={
                **os.environ,
                **environ,
                "SKERRY_MODEL_DIR": str(self.folder / "own"),
                "SKERRY_STATE_DIR": str(self.folder / "state"),
                **self.settings,
            },
        )
        async with asyncio.timeout(START_S), httpx.AsyncClient(trust_env=False) as http:
            while not await _ready(http, self.url):
                assert self.process.returncode is None
                await asyncio.sleep(0.05)
        await self.hub.listener("methods")

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(how)
            async with asyncio.timeout(START_S):
                code = await process.wait()
            assert code == (0 if how is signal.SIGTERM else -how)

    async def reported(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The reported properties once they fit."""
        await self.hub.until(lambda: condition(self.hub.reported))
        return self.hub.reported

    async def serves(self, package: str) -> dict[str, Any]:
        """Wait until this package is reported active, and the wish acknowledged."""
        return await self.reported(
            lambda found: (
                _active(found) == package and _state(found) == "active" and _ack(found) not in (0, 202)
            )
        )

    async def refuses(self, version: int) -> dict[str, Any]:
        """Wait until the wish of this version of the twin is reported as failed."""
        return await self.reported(
            lambda found: found.get("model", {}).get("av") == version and _state(found) == "failed"
        )


async def _ready(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(f"{url}/readyz")).status_code == 200
    except httpx.TransportError:
        return False


def _active(reported: dict[str, Any]) -> str:
    return str(reported.get("modelStatus", {}).get("active", {}).get("package", ""))


def _ack(reported: dict[str, Any]) -> int:
    return int(reported.get("model", {}).get("ac", 0))


def _state(reported: dict[str, Any]) -> str:
    return str(reported.get("modelStatus", {}).get("state", ""))


@contextlib.asynccontextmanager
async def device(folder: Path, **settings: str) -> AsyncIterator[Device]:
    hub = MemoryHub()
    make_package(folder / "own")
    async with running_hub(hub) as running, workload_api(folder / "w.sock", running.root_pem):
        found = Device(folder, hub, running, settings)
        try:
            await found.start()
            yield found
            await found.stop()
        finally:
            if found.process is not None:
                await found.stop(signal.SIGKILL)


@dataclass
class Stream:
    """What clients that never pause got: answers by model, failures, and the longest wait between answers."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    longest_gap_s: float = 0.0


@contextlib.asynccontextmanager
async def requests(url: str) -> AsyncIterator[Stream]:
    stream, stop, last = Stream(), asyncio.Event(), [perf_counter()]

    async def ask() -> None:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
            while not stop.is_set():
                try:
                    answer = await http.post("/score", content=IMAGE, headers={"content-type": "image/png"})
                except httpx.TransportError as exc:
                    stream.failures.append(repr(exc))
                    continue
                now = perf_counter()
                stream.longest_gap_s = max(stream.longest_gap_s, now - last[0])
                last[0] = now
                if answer.status_code != 200:
                    stream.failures.append(answer.text)
                    continue
                document = answer.json()
                assert answer.headers["x-skerry-model"] == document["model"]
                stream.answers[document["model"], f"{document['score']:.3f}"] += 1

    clients = [asyncio.create_task(ask()) for _ in range(CLIENTS)]
    try:
        yield stream
    finally:
        stop.set()
        await asyncio.gather(*clients)


def score(sharpness: float) -> str:
    return f"{sharp_expected(IMAGE, sharpness).max():.3f}"


async def test_the_model_is_switched_and_back_while_requests_stream_and_none_is_lost(
    tmp_path: Path, web: Web
) -> None:
    second = sharp_package(tmp_path / "second", 3.0)
    web.files["/second.tar.gz"] = File(tar_of(tmp_path / "second"))
    async with device(tmp_path) as module:
        own = (await module.reported(lambda found: "modelStatus" in found))["model"]["digest"]
        async with requests(module.url) as stream:
            await module.hub.desire({"model": {"package": second, "url": web.url("/second.tar.gz")}})
            reported = await module.serves(second)
            assert reported["model"]["ac"] == 200
            assert reported["model"]["value"] == {"package": second}
            assert reported["modelStatus"]["previous"]["package"] == own
            session = await module.hub.listener("methods")
            for _ in range(SWITCHES):
                assert (await session.invoke(MethodRequest("rollback"))).status == 200
    assert stream.failures == []
    # Two models, each with its own answer only: none came from something in between.
    assert set(stream.answers) == {(own, score(6.0)), (second, score(3.0))}
    assert stream.longest_gap_s < 2.0, stream.longest_gap_s


async def test_it_serves_the_new_model_after_kill_9_and_goes_back(tmp_path: Path, web: Web) -> None:
    second = sharp_package(tmp_path / "second", 3.0)
    web.files["/m.tar"] = File(tar_of(tmp_path / "second", ""))
    async with device(tmp_path) as module:
        await module.hub.desire({"model": {"package": second, "url": web.url("/m.tar?sig=secret")}})
        await module.serves(second)
        downloads = len(web.asked)
        await module.stop(signal.SIGKILL)
        module.hub.reported = {}
        await module.start()
        reported = await module.serves(second)
        assert reported["model"]["ac"] == 200
        session = await module.hub.listener("methods")
        own = (await session.invoke(MethodRequest("rollback"))).payload["active"]
        assert own["source"] == "image"
        await module.stop()
        # The twin still asks for the second; what the rollback did stands until it asks for another.
        await module.start()
        reported = await module.serves(own["package"])
        assert reported["model"]["ac"] == 409
        assert len(web.asked) == downloads


async def test_bad_packages_are_refused_with_their_reason_and_requests_go_on(
    tmp_path: Path, web: Web
) -> None:
    wrong = sharp_package(tmp_path / "wrong", 4.0, honest=False)
    tampered = sharp_package(tmp_path / "tampered", 5.0)
    model = tmp_path / "tampered" / "model.onnx"
    model.write_bytes(model.read_bytes().replace(b"weights", b"weightz"))
    web.files = {
        "/wrong": File(tar_of(tmp_path / "wrong")),
        "/tampered": File(tar_of(tmp_path / "tampered")),
        "/short": File(tar_of(tmp_path / "wrong")[:-400]),
        "/text": File(b"<html>hello</html>" * 100),
    }
    cases = [
        ("/wrong", wrong, 412, "differ from the recorded ones"),
        ("/tampered", tampered, 400, "model.onnx is not what"),
        ("/short", wrong, 400, "broken"),
        ("/text", wrong, 415, "neither tar"),
        ("/none", wrong, 404, "404"),
        ("/wrong", tampered, 400, "holds"),
    ]
    async with device(tmp_path) as module, requests(module.url) as stream:
        for number, (path, package, code, reason) in enumerate(cases, start=2):
            url = f"{web.url(path)}?n={number}"
            await module.hub.desire({"model": {"package": package, "url": url}})
            reported = await module.refuses(number)
            assert (reported["model"]["ac"], reason in reported["model"]["ad"]) == (code, True), reported
            assert reported["modelStatus"]["active"]["source"] == "image"
            assert "?n=" not in reported["model"]["ad"]
    assert stream.failures == []
    assert {model for model, _ in stream.answers} == {module.hub.reported["model"]["digest"]}
    # What was measured of a package stays, a kilobyte each and bounded.
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    left = [path for path in files if path.parent.name != "probes"]
    assert left == []


async def test_a_truncated_download_goes_on_where_it_broke_off(tmp_path: Path, web: Web) -> None:
    second = sharp_package(tmp_path / "second", 3.0)
    data = tar_of(tmp_path / "second", "")
    web.files["/m"] = File(data, cuts=[3000])
    async with device(tmp_path) as module:
        wish = {
            "package": second,
            "url": web.url("/m"),
            "digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
        }
        await module.hub.desire({"model": wish})
        await module.serves(second)
    assert web.asked == [("/m", ""), ("/m", "bytes=3000-")]


async def test_a_change_made_while_it_was_offline_applies_when_it_is_back(tmp_path: Path, web: Web) -> None:
    second = sharp_package(tmp_path / "second", 3.0)
    data = zip_of(tmp_path / "second")
    web.files["/second.zip"] = File(data)
    async with device(tmp_path) as module:
        session = await module.hub.listener("methods")
        module.hub.session = None
        session.close("the link is cut")
        md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        url = web.url("/second.zip")
        await module.hub.desire({"FileName": "second.zip", "DownloadUrl": url, "ContentMD5": md5})
        reported = await module.serves(second)
        assert reported["LatestAIModelFileName"] == "second.zip"
