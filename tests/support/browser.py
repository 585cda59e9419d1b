"""A real browser, headless: the distribution's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Page, async_playwright

# Inside a container the sandbox has no user namespace to use; the pages are our own.
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server")


class Opened:
    """A page with what went wrong on it: errors of scripts, refusals by its own policy."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on(
            "console",
            lambda said: self.problems.append(said.text) if said.type == "error" else None,
        )


@asynccontextmanager
async def browser(**context: Any) -> AsyncIterator[Opened]:
    """An empty page; ``context`` as Playwright's ``new_context``."""
    found = shutil.which("chromium")
    assert found is not None, "these tests need Chromium: apt-get install chromium"
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        try:
            yield Opened(await (await chromium.new_context(**context)).new_page())
        finally:
            await chromium.close()
