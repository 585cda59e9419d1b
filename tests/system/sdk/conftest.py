from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.stack import Hub, running_hub


@pytest.fixture
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    """A hub at the standard ports; this process' ``requests`` trusts it."""
    async with asyncio.timeout(100), running_hub(tmp_path / "hub") as hub:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(hub.ca_file))
        yield hub
