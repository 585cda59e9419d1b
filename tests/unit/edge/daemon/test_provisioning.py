"""Giving a device its identity."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.clock import SystemClock
from skerry.contract.names import Identity
from skerry.edge.daemon.provisioning import provision, read_connection, read_settings
from skerry.edge.settings import EdgeSettings
from skerry.errors import AlreadyExists, InvalidInput, NotFound
from skerry.service.certificates import Authority
from tests.support.edge import key_of

TEXT = f"HostName=hub.test;DeviceId=edge-1;SharedAccessKey={key_of('edge-1')}"
OTHER = f"HostName=hub.test;DeviceId=edge-2;SharedAccessKey={key_of('edge-2')}"


def test_what_was_provisioned_reads_back(tmp_path: Path) -> None:
    ca = tmp_path / "hub.pem"
    ca.write_text(Authority.create("hub", SystemClock()).certificate_pem)
    options = {"hostname": "gate", "mqtt_port": 8884, "engine": "process", "upstream": False}
    made = provision(tmp_path / "d", TEXT, hub_ca=ca, options=options)
    settings = read_settings(tmp_path / "d", {})
    assert made.settings == settings
    assert (made.identity, made.hub) == (Identity.parse("edge-1"), "hub.test")
    assert (settings.hostname, settings.mqtt_port, settings.engine) == ("gate", 8884, "process")
    assert settings.upstream is False
    assert settings.hub_ca is not None
    assert settings.hub_ca.read_text() == ca.read_text()
    assert read_connection(settings).render() == TEXT


def test_the_secret_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    settings = provision(tmp_path / "d", TEXT).settings
    assert settings.connection_string_file.stat().st_mode & 0o777 == 0o600
    assert (settings.ca_directory / "ca.key.pem").stat().st_mode & 0o777 == 0o600
    assert settings.data_dir.stat().st_mode & 0o777 == 0o700
    assert key_of("edge-1") not in (settings.data_dir / "config.toml").read_text()


def test_the_environment_wins(tmp_path: Path) -> None:
    provision(tmp_path / "d", TEXT)
    assert read_settings(tmp_path / "d", {"SKERRY_EDGE_MQTT_PORT": "9000"}).mqtt_port == 9000


def test_another_identity_needs_force_and_the_same_does_not(tmp_path: Path) -> None:
    ca = provision(tmp_path / "d", TEXT).settings.ca_directory / "ca.pem"
    root = ca.read_text()
    assert provision(tmp_path / "d", TEXT, options={"mqtt_port": 1}).settings.mqtt_port == 1
    with pytest.raises(AlreadyExists, match="edge-1"):
        provision(tmp_path / "d", OTHER)
    assert provision(tmp_path / "d", OTHER, force=True).identity == Identity.parse("edge-2")
    assert ca.read_text() == root


@pytest.mark.parametrize(
    "text",
    [
        "",
        "HostName=h;DeviceId=d",
        f"HostName=h;SharedAccessKeyName=owner;SharedAccessKey={key_of('x')}",
        f"HostName=h;DeviceId=d;ModuleId=m;SharedAccessKey={key_of('x')}",
        "HostName=h;DeviceId=d;x509=true",
        "HostName=h;DeviceId=d;SharedAccessKey=not base64",
    ],
)
def test_only_a_devices_connection_string_will_do(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput):
        provision(tmp_path / "d", text)
    assert not (tmp_path / "d").exists()


def test_unknown_options_and_bad_authorities_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="colour"):
        provision(tmp_path / "d", TEXT, options={"colour": "red"})
    (tmp_path / "no.pem").write_text("hello")
    with pytest.raises(InvalidInput, match="PEM"):
        provision(tmp_path / "d", TEXT, hub_ca=tmp_path / "no.pem")


def test_an_unprovisioned_directory_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not provisioned"):
        read_settings(tmp_path)
    with pytest.raises(NotFound, match="no identity"):
        read_connection(EdgeSettings(tmp_path))


def test_a_long_data_directory_has_its_sockets_elsewhere(tmp_path: Path) -> None:
    short, long = EdgeSettings(Path("/data")), EdgeSettings(Path("/" + "x" * 90))
    assert short.management_socket == Path("/data/run/mgmt.sock")
    assert len(str(long.workload_directory / ("m" * 32) / "workload.sock")) <= 107
    assert long.run_directory != EdgeSettings(Path("/" + "y" * 90)).run_directory
