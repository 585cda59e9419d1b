"""Backup of a hub that serves, by its commands; Microsoft's service SDK asks the restored one."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
from azure.iot.hub import IoTHubRegistryManager

from tests.system.bad_input.command import skerry
from tests.system.bad_input.site import Site

pytestmark = pytest.mark.system


def test_a_restored_hub_answers_microsofts_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, copy = Site(tmp_path / "old"), tmp_path / "copy"
    with site.serving():
        site.create_device("press-1")
        site.ask(lambda client: client.patch_twin("press-1", tags={"room": "a"}))
        site.skerry("events", "commit", "line-3", "latest").succeeded()
        done = run("hub", "backup", copy, "--dir", site.hub_dir)
        assert "files" in done
        site.ask(lambda client: client.patch_twin("press-1", tags={"room": "b"}))
        again = Site(tmp_path / "new")
        run("hub", "restore", copy, "--dir", again.hub_dir)
        # Beside the old one, which still serves.
        with again.serving():
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(again.hub_dir / "ca" / "ca.pem"))
            text = again.owner.replace("HostName=localhost", f"HostName=localhost:{again.https_port}")
            registry: Any = IoTHubRegistryManager(text)
            twin = registry.get_twin("press-1")
            assert twin.tags == {"room": "a"}
            assert registry.get_device("press-1").capabilities.iot_edge
            groups = again.skerry("events", "groups").succeeded().out
            assert "line-3" in groups
            gc.collect()


def run(*arguments: str | Path) -> str:
    return skerry(*arguments).succeeded().out
