"""The capture module as a process: a film and a real RTSP stream, predicted by a real CNN module."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import av
import httpx
import numpy as np
import pytest

from tests.support.ports import free_ports
from tests.system.test_serve_processes import module
from tests.unit.serve.support import make_package
from tests.unit.sim.capture.films import BLUE, GREEN, HEIGHT, RED, WIDTH, write_film

pytestmark = pytest.mark.system

PATIENCE_S = 40.0

COUNTED = 'skerry_serve_class_predicted_total{label="%s"} '


@asynccontextmanager
async def capturing(**settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A capture module with these settings; it must end cleanly on SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "skerry.sim.capture.main"), env={**os.environ, **settings}
    )
    try:
        yield process
        assert process.returncode is None
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def predicted(http: httpx.AsyncClient, label: str, at_least: int) -> int:
    """Wait until the module has predicted the label so often; how often it is by then."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            lines = (await http.get("/metrics")).text.splitlines()
            counts = [float(line.split()[-1]) for line in lines if line.startswith(COUNTED % label)]
            if counts and counts[0] >= at_least:
                return int(counts[0])
            await asyncio.sleep(0.05)


async def test_a_films_frames_are_all_predicted_with_the_tutorials_settings(tmp_path: Path) -> None:
    make_package(tmp_path / "model")
    film = write_film(tmp_path / "film.mp4", [RED] * 20 + [GREEN] * 20 + [BLUE] * 20)
    async with (
        module(SKERRY_MODEL_DIR=str(tmp_path / "model")) as (http, _),
        capturing(
            VIDEO_PATH=str(film),
            IMAGE_PROCESSING_ENDPOINT=f"{http.base_url}/image",
            LOOP_VIDEO="False",
            SHOW_VIDEO="False",
            VERBOSE="True",
        ),
    ):
        assert [await predicted(http, label, 20) for label in ("red", "green", "blue")] == [20, 20, 20]


class Broadcast:
    """A camera that pushes one colour to an RTSP server until closed."""

    def __init__(self, url: str, colour: tuple[int, int, int]) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._push, args=(url, colour))
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _push(self, url: str, colour: tuple[int, int, int]) -> None:
        pixels = np.full((HEIGHT, WIDTH, 3), colour, np.uint8)
        with av.open(url, "w", format="rtsp") as container:
            options = {"tune": "zerolatency", "preset": "ultrafast", "g": "5"}
            stream = container.add_stream("libx264", rate=25, options=options)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            while not self._over.wait(0.04):
                for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                    container.mux(packet)


@contextmanager
def broadcast(url: str, colour: tuple[int, int, int]) -> Iterator[None]:
    camera = Broadcast(url, colour)
    try:
        yield
    finally:
        camera.close()


@asynccontextmanager
async def rtsp_server(play: int, record: int) -> AsyncIterator[None]:
    """A real RTSP server: what is recorded at one port is played at the other."""
    command = shutil.which("rtsp-server-perl")
    assert command is not None, "this test needs an RTSP server: apt-get install rtsp-server-perl"
    ports = ("-c", str(play), "-s", str(record), "--rtp_start_port", str(free_ports(1)[0] & ~1))
    local = ("--client_listen_address", "127.0.0.1", "--source_listen_address", "127.0.0.1")
    process = await asyncio.create_subprocess_exec(
        command, *ports, *local, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        for port in (play, record):
            await _listens(port)
        yield
    finally:
        process.kill()
        await process.wait()


async def _listens(port: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                await writer.wait_closed()
                return


async def test_an_rtsp_stream_is_predicted_and_found_again_after_it_was_lost(tmp_path: Path) -> None:
    make_package(tmp_path / "model")
    play, record = free_ports(2)
    source = f"rtsp://127.0.0.1:{record}/gate"
    async with module(SKERRY_MODEL_DIR=str(tmp_path / "model")) as (http, _):
        settings = {
            "SKERRY_SOURCE": f"rtsp://127.0.0.1:{play}/gate",
            "SKERRY_RTSP_TRANSPORT": "udp",
            "SKERRY_FRAMES_PER_SECOND": "10",
            "IMAGE_PROCESSING_ENDPOINT": f"{http.base_url}/score",
        }
        async with capturing(**settings):
            async with rtsp_server(play, record):
                with broadcast(source, RED):
                    await predicted(http, "red", 5)
            # The server is gone; the next one has another picture.
            async with rtsp_server(play, record):
                with broadcast(source, BLUE):
                    await predicted(http, "blue", 5)
