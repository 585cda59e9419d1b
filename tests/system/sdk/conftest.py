from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack import Edge, Hub, deployment, running_edge, running_hub

TO_RECEIVER = 'BrokeredEndpoint("/modules/receiver/inputs/in")'
ROUTES = {
    "sender": "FROM /messages/modules/sender/outputs/up INTO $upstream",
    "receiver": "FROM /messages/modules/receiver/outputs/up INTO $upstream",
    "across": f"FROM /messages/modules/sender/outputs/across INTO {TO_RECEIVER}",
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub at the standard ports; this process' ``requests`` trusts it."""
    with running_hub(tmp_path / "hub") as hub:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(hub.ca_file))
        yield hub


@pytest.fixture
def edge(hub: Hub) -> Iterator[Edge]:
    """The edge device ``edge-1`` with modules ``sender`` and ``receiver`` deployed."""
    device = hub.create_device("edge-1", edge=True)
    manifest = deployment("sender", "receiver", routes=ROUTES, receiver={"interval": 5})
    hub.call(lambda service: service.apply_configuration("edge-1", manifest))
    # Not pytest's folder: a Unix socket's path is short.
    with (
        tempfile.TemporaryDirectory(prefix="sk-") as folder,
        running_edge(Path(folder) / "d", device, hub.ca_file) as edge,
    ):
        yield edge
