"""A CNN module that really listens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest_asyncio

from skerry.serve.http_front import http_app
from skerry.serve.measures import Measures
from skerry.serve.scoring import Scorer
from skerry.service.http import HttpServer
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
    server = await HttpServer.start(http_app(scorer, Measures()), websockets="none")
    url = f"http://127.0.0.1:{server.port}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        yield Served(scorer, http, url)
    await server.close()
    await scorer.close()
