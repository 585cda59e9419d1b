"""Our pages in a real browser: the module's live frames, the hub's dashboard."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from playwright.async_api import expect

from skerry.clock import SystemClock
from skerry.contract.message import Message
from skerry.protocol.connect import client_from_connection_string
from tests.support.browser import browser
from tests.system.bad_input.site import Site
from tests.system.test_serve_processes import module
from tests.unit.serve.support import BLUE, RED, make_package, picture
from tests.unit.serve.test_main import free_port

pytestmark = pytest.mark.system

PATIENCE_MS = 15_000


async def test_the_live_page_shows_frames_with_their_predictions(tmp_path: Path) -> None:
    make_package(tmp_path / "model")
    port = str(free_port())
    async with (
        module(SKERRY_MODEL_DIR=str(tmp_path / "model"), SKERRY_LIVE_PORT=port) as (http, _),
        browser() as opened,
    ):
        page = opened.page
        await page.goto(f"http://127.0.0.1:{port}/")
        await expect(page.locator("#state")).to_have_text("live", timeout=PATIENCE_MS)
        for colour, label in ((RED, "red"), (BLUE, "blue")):
            # Between two frames that are shown there is a tenth of a second: a few frames, as a camera sends.
            for _ in range(3):
                assert (await http.post("/score", content=picture(colour))).status_code == 200
                await asyncio.sleep(0.15)
            await expect(page.locator("#label")).to_have_text(label, timeout=PATIENCE_MS)
            await expect(page.locator("#predictions li").first).to_contain_text(f"{label} 99.")
        shown = await page.locator("#frame").evaluate("image => [image.naturalWidth, image.naturalHeight]")
        assert (shown, opened.problems) == ([16, 12], [])


async def test_the_dashboard_lets_an_owner_in_and_shows_devices_and_live_telemetry(tmp_path: Path) -> None:
    site = Site(tmp_path)
    loop = asyncio.get_running_loop()
    with site.serving():
        device = await loop.run_in_executor(None, site.create_device, "press-1")
        url = f"https://localhost:{site.https_port}/"
        guessed = {"username": "iothubowner", "password": "guessed"}
        async with browser(ignore_https_errors=True, http_credentials=guessed) as opened:
            answer = await opened.page.goto(url)
            assert answer is not None
            assert answer.status == 401
            assert "<section" not in await opened.page.content()
        login = {"username": "iothubowner", "password": site.owner_key}
        async with browser(ignore_https_errors=True, http_credentials=login) as opened:
            page = opened.page
            async with page.expect_response(lambda response: "/events" in response.url):
                await page.goto(url)
            await expect(page.locator("#device-press-1 h2")).to_have_text("press-1")
            await expect(page.locator("#device-press-1")).to_contain_text("not connected")
            await send(site, device, {"label": "<b>scratch</b>"})
            row = page.locator("#events tr").first
            await expect(row).to_contain_text("press-1", timeout=PATIENCE_MS)
            await expect(row).to_contain_text("<b>scratch</b>")
            assert opened.problems == []


async def send(site: Site, device_string: str, body: object) -> None:
    client = client_from_connection_string(
        device_string, SystemClock(), ca_pem=site.ca_pem, port=site.mqtt_port
    )
    await client.start()
    try:
        system = {"contentType": "application/json", "contentEncoding": "utf-8"}
        await client.send(Message(json.dumps(body).encode(), {}, system))
    finally:
        await client.stop()
