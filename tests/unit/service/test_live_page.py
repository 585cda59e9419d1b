"""The live page's stream: the newest frame for each viewer, a bound on viewers, a clean end."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from skerry.clock import SystemClock
from skerry.service.live_page import FRAMES_PER_S_MAX, VIEWERS_MAX, LivePage


class StillClock(SystemClock):
    """A clock whose monotonic time tests set."""

    def __init__(self) -> None:
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at


@asynccontextmanager
async def page() -> AsyncIterator[tuple[LivePage, StillClock, httpx.AsyncClient]]:
    clock = StillClock()
    found = LivePage(clock)
    await found.start("127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{found.port}", trust_env=False) as http:
        yield found, clock, http
    await found.close()


async def next_event(lines: AsyncIterator[str]) -> dict[str, Any]:
    async for line in lines:
        if line.startswith("data: "):
            document: dict[str, Any] = json.loads(line.removeprefix("data: "))
            return document
    raise AssertionError("the stream ended")


async def opened(response: httpx.Response) -> AsyncIterator[str]:
    lines = response.aiter_lines()
    assert await anext(lines) == ": hello"
    return lines


async def test_a_viewer_gets_frames_and_hears_how_many_were_left_out() -> None:
    async with page() as (live, clock, http):
        live.publish(b"unseen", {"label": "nobody looks"})
        async with http.stream("GET", "/stream") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            lines = await opened(response)
            live.publish(b"jpeg", {"label": "red"})
            first = await next_event(lines)
            assert base64.b64decode(first["image"]) == b"jpeg"
            assert (first["number"], first["dropped"], first["document"]) == (2, 1, {"label": "red"})
            live.publish(b"too soon", {"label": "green"})
            clock.at += 1 / FRAMES_PER_S_MAX
            live.publish(None, {"label": "blue"})
            second = await next_event(lines)
            assert (second["image"], second["dropped"], second["document"]) == (None, 2, {"label": "blue"})
        assert live.published == 4


async def test_a_slow_viewer_gets_the_newest_frame_only() -> None:
    async with page() as (live, clock, http), http.stream("GET", "/stream") as response:
        lines = await opened(response)
        for number in range(5):
            clock.at += 1
            live.publish(None, {"label": str(number)})
        assert (await next_event(lines))["document"] == {"label": "4"}


async def test_viewers_are_bounded_and_close_sends_them_away() -> None:
    async with page() as (live, _, http):
        responses = [
            await http.send(http.build_request("GET", "/stream"), stream=True) for _ in range(VIEWERS_MAX)
        ]
        streams = [await opened(response) for response in responses]
        refused = await http.get("/stream")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        await live.close()
        for lines in streams:
            assert [line async for line in lines if line] == []
        for response in responses:
            await response.aclose()


async def test_the_page_loads_nothing_from_elsewhere() -> None:
    async with page() as (_, _, http):
        for path, kind in (("/", "text/html"), ("/live.js", "text/javascript"), ("/live.css", "text/css")):
            answer = await http.get(path)
            assert answer.headers["content-type"].startswith(kind)
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "http" not in answer.text
