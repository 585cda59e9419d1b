"""The CNN module as a process: a user's script, latest frame wins, a crowd of clients, a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.unit.serve.support import BLUE, RED, make_package, picture
from tests.unit.serve.test_main import free_port

pytestmark = pytest.mark.system

START_S = 30.0

DRIVER = """
from azureml.contrib.services.aml_request import rawhttp

def init():
    print("Model loading time: 1 ms")

@rawhttp
def run(request):
    return {name: len(file.read()) for name, file in request.files.items()}, "Computed in 1 ms"
"""


@contextlib.asynccontextmanager
async def module(**settings: str) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.subprocess.Process]]:
    """A module with these settings, once it is ready; it must end cleanly on SIGTERM."""
    port = str(free_port())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "skerry.serve.main"),
        env={**os.environ, "SKERRY_HTTP_HOST": "127.0.0.1", "SKERRY_HTTP_PORT": port, **settings},
    )
    try:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
            async with asyncio.timeout(START_S):
                while not await _ready(http):
                    await asyncio.sleep(0.05)
            yield http, process
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(START_S):
                assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


async def test_a_users_script_is_served_as_it_is(tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    script.write_text(DRIVER)
    async with module(SKERRY_DRIVER=str(script), SKERRY_MODEL_DIR=str(tmp_path)) as (http, _):
        response = await http.post("/score", files={"image": b"1234"})
        assert response.json() == [{"image": 4}, "Computed in 1 ms"]
        assert response.headers["x-ms-run-function-failed"] == "False"
        assert (await http.get("/")).text == "Healthy"


@pytest.mark.parametrize("compute", ["loop", "thread"])
async def test_a_crowd_gets_right_answers_either_way(tmp_path: Path, compute: str) -> None:
    make_package(tmp_path / "model")
    async with module(SKERRY_MODEL_DIR=str(tmp_path / "model"), SKERRY_COMPUTE=compute) as (http, _):

        async def one(number: int) -> bool:
            colour, label = ((RED, "red"), (BLUE, "blue"))[number % 2]
            response = await http.post("/score", content=picture(colour))
            return bool(response.status_code == 200 and response.json()["label"] == label)

        assert all(await asyncio.gather(*map(one, range(60))))
        assert (await http.get("/score")).json()["computes"] in ("in the loop", "on a thread")


async def test_of_a_cameras_frames_the_newest_wins_and_the_others_are_counted(tmp_path: Path) -> None:
    make_package(tmp_path / "model")
    settings = {"SKERRY_MODEL_DIR": str(tmp_path / "model"), "SKERRY_BACKPRESSURE": "latest"}
    async with module(**settings) as (http, _):
        frame = picture(RED, (2500, 2000), "JPEG")

        async def send() -> int:
            response = await http.post("/score?source=cam1", content=frame)
            return response.status_code

        statuses = await asyncio.gather(*(send() for _ in range(12)))
        metrics = (await http.get("/metrics")).text
    let_go = statuses.count(503)
    assert let_go >= 1
    assert statuses.count(200) == 12 - let_go
    assert f'skerry_serve_images_superseded_total{{front="http"}} {float(let_go)}' in metrics


async def test_two_processes_share_a_port(tmp_path: Path) -> None:
    make_package(tmp_path / "model")
    settings = {"SKERRY_MODEL_DIR": str(tmp_path / "model"), "SKERRY_HTTP_SHARED": "1"}
    async with module(**settings) as (http, _):
        port = str(http.base_url.port)
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "skerry.serve.main"),
            env={**os.environ, "SKERRY_HTTP_HOST": "127.0.0.1", "SKERRY_HTTP_PORT": port, **settings},
        )
        try:
            answers = [await http.post("/score", content=picture(BLUE)) for _ in range(20)]
            assert {answer.status_code for answer in answers} == {200}
        finally:
            second.terminate()
            await second.wait()


async def _other(process: asyncio.subprocess.Process) -> int:
    """The process that it started beside itself."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    async with asyncio.timeout(START_S):
        while not (pids := (await asyncio.to_thread(children.read_text)).split()):
            await asyncio.sleep(0.02)
    [pid] = map(int, pids)
    return pid


async def test_several_processes_serve_one_port_and_end_together(tmp_path: Path) -> None:
    make_package(tmp_path / "model")
    settings = {"SKERRY_MODEL_DIR": str(tmp_path / "model"), "SKERRY_PROCESSES": "2"}
    async with module(**settings) as (http, process):
        other = await _other(process)
        served: set[str] = set()
        async with asyncio.timeout(START_S):
            # Each process gives ids of its own; a new connection may meet either.
            while len(served) < 2:
                headers = {"connection": "close"}
                answer = await http.post("/score", content=picture(BLUE), headers=headers)
                assert answer.json()["label"] == "blue"
                served.add(answer.headers["x-request-id"][:24])
    assert not await _runs(other)


async def test_when_the_first_is_killed_the_others_end_too(tmp_path: Path) -> None:
    make_package(tmp_path / "model")
    settings = {"SKERRY_MODEL_DIR": str(tmp_path / "model"), "SKERRY_PROCESSES": "2"}
    async with module(**settings) as (_, process):
        other = await _other(process)
        process.kill()
        await process.wait()
        async with asyncio.timeout(START_S):
            while await _runs(other):
                await asyncio.sleep(0.05)


async def _runs(pid: int) -> bool:
    try:
        state = await asyncio.to_thread(Path(f"/proc/{pid}/stat").read_text)
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"
