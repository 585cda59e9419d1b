"""A CNN module that really listens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest_asyncio

from skerry.clock import SystemClock
from skerry.serve.http.listener import HttpListener
from skerry.serve.measures import Measures
from skerry.serve.scoring import Scorer
from skerry.serve.surface import http_handler
from tests.unit.serve.support import make_scorer


@dataclass
class Served:
    scorer: Scorer
    http: httpx.AsyncClient
    url: str


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """The colour model over HTTP, with room for four images."""
    scorer = make_scorer(tmp_path / "model", admitted_max=4)
    server = await HttpListener.start(http_handler(scorer, Measures()), clock=SystemClock())
    url = f"http://127.0.0.1:{server.port}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        yield Served(scorer, http, url)
    await server.close()
    await scorer.close()
