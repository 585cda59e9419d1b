from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack import Hub, running_hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub at the standard ports; this process' ``requests`` trusts it."""
    with running_hub(tmp_path / "hub") as hub:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(hub.ca_file))
        yield hub
