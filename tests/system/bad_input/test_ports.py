"""A port that somebody else has: the address is named, with what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.ports import free_ports
from tests.system.bad_input.command import skerry
from tests.system.bad_input.site import Site, some_key

pytestmark = pytest.mark.system
DEVICE = "HostName=localhost;DeviceId=d;SharedAccessKey="


@pytest.mark.parametrize("taken", ["--https-port", "--mqtt-port"])
def test_the_hub_names_the_address_that_is_taken(taken: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = dict(zip(("--https-port", "--mqtt-port"), free_ports(2), strict=True))
        ports[taken] = other.getsockname()[1]
        given = [str(part) for pair in ports.items() for part in pair]
        outcome = skerry("hub", "up", "--dir", tmp_path / "hub", *given)
        outcome.failed(7, f"cannot listen on 127.0.0.1:{ports[taken]}", "hint: ", "another port")


@pytest.mark.parametrize("taken", ["mqtt_port", "https_port", "metrics_port"])
def test_the_edge_runtime_names_the_address_that_is_taken(taken: str, site: Site, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        site.provision(tmp_path / "d", DEVICE + some_key(), **{taken: port})
        outcome = skerry("edge", "run", "--dir", tmp_path / "d")
        outcome.failed(7, f"cannot listen on 127.0.0.1:{port}", "hint: ", "another port")


def test_a_port_that_is_none(tmp_path: Path) -> None:
    skerry("hub", "up", "--dir", tmp_path / "hub", "--https-port", "65536").failed(3, "https_port", "65535")
    assert not (tmp_path / "hub").exists()
