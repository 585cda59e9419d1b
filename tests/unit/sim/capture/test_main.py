"""The capture module on an edge device, and what it says when its settings make no sense."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from skerry.clock import SystemClock
from skerry.contract.method import MethodRequest
from skerry.sim.capture.main import EXIT_SETTINGS, main, run
from tests.unit.serve.conftest import Served, served
from tests.unit.serve.memory_hub import MemoryHub, running_hub
from tests.unit.serve.test_as_module import edge_environment, workload_api
from tests.unit.sim.capture.films import BLUE, RED, write_film

__all__ = ["served"]


@asynccontextmanager
async def capturing(tmp_path: Path, **settings: str) -> AsyncIterator[MemoryHub]:
    """A capture module of a film, on an edge device."""
    film = write_film(tmp_path / "film.mp4", [RED] * 5 + [BLUE] * 5)
    hub, stopping = MemoryHub(), asyncio.Event()
    async with running_hub(hub) as running, workload_api(tmp_path / "w.sock", running.root_pem):
        environ = edge_environment(tmp_path / "w.sock", running.port)
        environ |= {"VIDEO_PATH": str(film), "LOOP_VIDEO": "False", **settings}
        module = asyncio.create_task(run(environ, stopping, clock=SystemClock()))
        try:
            yield hub
        finally:
            stopping.set()
            await module


async def test_frames_go_to_the_edge_hub_and_are_accounted_for(tmp_path: Path) -> None:
    async with capturing(tmp_path) as hub:
        await hub.until(lambda: len(hub.messages) == 10)
        session = await hub.listener("methods")
        assert [message.system["outputName"] for message in hub.messages] == ["image"] * 10
        assert len({message.system["messageId"] for message in hub.messages}) == 10
        status = await session.invoke(MethodRequest("status"))
        assert (status.status, status.payload["taken"], status.payload["dropped"]) == (200, 10, 0)
        assert (await session.invoke(MethodRequest("dance"))).status == 404
        await hub.until(lambda: hub.reported.get("capture", {}).get("delivered") == 10)


async def test_with_an_endpoint_the_answers_go_to_output1(tmp_path: Path, served: Served) -> None:
    async with capturing(
        tmp_path, IMAGE_PROCESSING_ENDPOINT=f"{served.url}/score", SKERRY_LIVE_PORT="0"
    ) as hub:
        await hub.until(lambda: len(hub.messages) == 10)
        labels = [json.loads(message.body)["label"] for message in hub.messages]
        assert labels == ["red"] * 5 + ["blue"] * 5
        assert {message.system["outputName"] for message in hub.messages} == {"output1"}


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, "VIDEO_PATH"),
        ({"VIDEO_PATH": "nowhere.mp4", "IMAGE_PROCESSING_ENDPOINT": "http://cnn/"}, "nowhere.mp4"),
        ({"VIDEO_PATH": "0"}, "IMAGE_PROCESSING_ENDPOINT"),
        ({"VIDEO_PATH": "0", "LOOP_VIDEO": "maybe"}, "LOOP_VIDEO"),
    ],
)
def test_settings_that_make_no_sense_end_it_with_one_line(
    environ: dict[str, str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(environ) == EXIT_SETTINGS
    assert named in capsys.readouterr().err.splitlines()[-1]
