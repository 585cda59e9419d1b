"""Frames posted to a real CNN module, its answers as messages; every answer that is none."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from skerry.clock import SystemClock
from skerry.errors import InvalidInput, SkerryError, Throttled, Unavailable
from skerry.protocol.claims import ClaimSettings, ClaimStore, redeemed
from skerry.serve.http.listener import HttpListener
from skerry.serve.http.message import Request, Response
from skerry.sim.capture.capture import Shot
from skerry.sim.capture.deliver import FRAME_BYTES_MAX, HttpDelivery, MessageDelivery, Outlet, shown
from skerry.sim.capture.source import Encoded
from tests.unit.serve.conftest import Served, served
from tests.unit.serve.memory_hub import MemoryHub, running_hub
from tests.unit.serve.support import BLUE, picture

__all__ = ["served"]


def shot(data: bytes = b"", number: int = 1) -> Shot:
    return Shot(number, "0001", Encoded(data or picture(BLUE), "image/png"))


@asynccontextmanager
async def outlet(hub: MemoryHub) -> AsyncIterator[Outlet]:
    async with running_hub(hub) as running:
        client = running.make_client()
        await client.start()
        try:
            yield Outlet(client, "gate", SystemClock())
        finally:
            await client.stop()


@asynccontextmanager
async def answering(answer: Callable[[Request], Response]) -> AsyncIterator[str]:
    listener = await HttpListener.start(answer, clock=SystemClock())
    try:
        yield f"http://127.0.0.1:{listener.port}/image"
    finally:
        await listener.close()


async def delivered(endpoint: str, **more: Any) -> None:
    delivery = HttpDelivery(endpoint, {}, "gate", **more)
    try:
        await delivery(shot())
    finally:
        await delivery.close()


@pytest.mark.parametrize("path", ["/score", "/image"])
async def test_a_posted_frames_answer_goes_out_on_output1(served: Served, path: str) -> None:
    hub, seen = MemoryHub(), list[Any]()
    async with outlet(hub) as out:
        await delivered(served.url + path, outlet=out, watch=lambda jpeg, found: seen.append((jpeg, found)))
    [message] = hub.messages
    assert message.system["outputName"] == "output1"
    assert message.properties == {"frame": "0001", "sequence": "1", "source": "gate"}
    assert message.system["messageId"].startswith("edge1/cnn/")
    best = json.loads(message.body)["predictions"][0]
    assert best.get("label", best.get("tagName")) == "blue"
    [(jpeg, found)] = seen
    assert (jpeg, found["label"], found["predictions"][0]["label"]) == (picture(BLUE), "blue", "blue")


async def test_frames_go_as_messages_and_large_ones_by_reference(tmp_path: Path) -> None:
    hub, claims = MemoryHub(), ClaimStore(ClaimSettings(tmp_path), SystemClock())
    buffer = io.BytesIO()
    Image.effect_noise((700, 700), 90).save(buffer, "PNG")
    large = buffer.getvalue()
    assert len(large) > FRAME_BYTES_MAX
    async with outlet(hub) as out:
        await MessageDelivery(out, claims)(shot())
        await MessageDelivery(out, claims)(shot(large, 2))
        with pytest.raises(InvalidInput, match="SKERRY_CLAIMS_DIR"):
            await MessageDelivery(out, None)(shot(large))
    small, reference = hub.messages
    assert (small.body, small.system["outputName"]) == (picture(BLUE), "image")
    assert redeemed(reference, claims).body == large


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (Response(503), Throttled),
        (Response(429), Throttled),
        (Response(500), Unavailable),
        (Response(415, b"no"), InvalidInput),
        (Response(302), InvalidInput),
        (Response(200, b"<html>"), InvalidInput),
        (Response(200, b" " * 300_000), InvalidInput),
    ],
)
async def test_every_other_answer_is_an_error_of_its_kind(
    response: Response, error: type[SkerryError]
) -> None:
    async with answering(lambda _: response) as endpoint:
        with pytest.raises(error):
            await delivered(endpoint)


@pytest.mark.parametrize("body", [b"", b"[]", b" \n"])
async def test_an_answer_of_nothing_is_no_message(body: bytes) -> None:
    hub = MemoryHub()
    async with outlet(hub) as out, answering(lambda _: Response(200, body)) as endpoint:
        await delivered(endpoint, outlet=out)
    assert hub.messages == []


async def test_the_request_is_the_tutorials() -> None:
    asked: list[Request] = []

    def answer(request: Request) -> Response:
        asked.append(request)
        return Response(200, b"[]")

    async with answering(answer) as endpoint:
        delivery = HttpDelivery(endpoint.replace("//", "//user:pw@") + "?a=1", {"b": "ü"}, "gate")
        await delivery(shot())
        await delivery.close()
    [request] = asked
    assert (request.method, request.path, request.query) == ("POST", "/image", "a=1&b=%C3%BC")
    assert request.headers["content-type"] == "application/octet-stream"
    assert request.headers["authorization"] == "Basic dXNlcjpwdw=="


async def test_a_module_that_was_restarted_between_two_frames_is_no_error() -> None:
    first = await HttpListener.start(lambda _: Response(200, b"[]"), clock=SystemClock())
    delivery = HttpDelivery(f"http://127.0.0.1:{first.port}/", {}, "gate")
    await delivery(shot())
    await first.close()
    second = await HttpListener.start(lambda _: Response(200, b"[]"), clock=SystemClock(), port=first.port)
    await delivery(shot())
    await second.close()
    with pytest.raises(Unavailable, match="does not answer"):
        await delivery(shot())
    await delivery.close()


def test_any_answer_can_be_shown() -> None:
    documents: tuple[Any, ...] = (None, [], 7, {"predictions": 7}, {"predictions": [7, {}]})
    for document in documents:
        assert shown(document)["label"] is None


async def test_posting_does_not_hold_up_the_loop() -> None:
    arrived = asyncio.Event()
    free = asyncio.Event()

    async def slow(_: Request) -> Response:
        arrived.set()
        await free.wait()
        return Response(200, b"[]")

    listener = await HttpListener.start(slow, clock=SystemClock())
    posting = asyncio.create_task(delivered(f"http://127.0.0.1:{listener.port}/"))
    await arrived.wait()
    free.set()
    await posting
    await listener.close()
