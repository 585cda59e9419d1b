"""A device without an identity, or with somebody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.contract.credentials import ConnectionString
from tests.system.bad_input.command import SEEN, Outcome, skerry
from tests.system.bad_input.site import some_key

pytestmark = pytest.mark.system


@pytest.mark.parametrize("command", ["run", "list", "status"])
def test_a_folder_that_is_not_provisioned(command: str, tmp_path: Path) -> None:
    outcome = skerry("edge", command, "--dir", tmp_path / "none")
    outcome.failed(4, f"{tmp_path / 'none'} is not provisioned", "hint: run: skerry edge provision")
    assert not (tmp_path / "none").exists()


def test_a_runtime_that_does_not_run(tmp_path: Path) -> None:
    provision(tmp_path, f"HostName=localhost;DeviceId=d;SharedAccessKey={some_key()}").succeeded()
    skerry("edge", "list", "--dir", tmp_path / "d").failed(7, "does not answer", "skerry edge run")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "HostName=…;DeviceId=…"),
        ("hello", "known: HostName, DeviceId"),
        ("HostName=localhost;DeviceId=d", "exactly one credential"),
        ("HostName=localhost;DeviceId=d;SharedAccessKey={key}%", "is not base64"),
        ("HostName=localhost;DeviceId=a b;SharedAccessKey={key}", "illegal device id"),
        ("HostName=localhost;SharedAccessKeyName=p;SharedAccessKey={key}", "it names no device"),
        ("HostName=localhost;DeviceId=d;ModuleId=m;SharedAccessKey={key}", "a module's connection string"),
        ("HostName=localhost;DeviceId=d;SharedAccesKey={key}", "known: HostName, DeviceId"),
    ],
)
def test_a_malformed_connection_string_leaves_no_folder(text: str, said: str, tmp_path: Path) -> None:
    key = some_key()
    outcome = provision(tmp_path, text.format(key=key)).failed(3, said, "hint: ")
    assert key not in outcome.err
    assert not (tmp_path / "d").exists()


def test_another_identity_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    first, second = (f"HostName=localhost;DeviceId={name};SharedAccessKey={some_key()}" for name in "ab")
    provision(tmp_path, first).succeeded()
    kept = {path: path.read_bytes() for path in (tmp_path / "d").rglob("*") if path.is_file()}
    provision(tmp_path, second).failed(6, "belongs to a at localhost", "--force")
    assert {path: path.read_bytes() for path in (tmp_path / "d").rglob("*") if path.is_file()} == kept
    assert provision(tmp_path, second, "--force").succeeded().out.startswith("b at localhost provisioned")
    for text in (first, second):
        assert SEEN.holding(ConnectionString.parse(text).shared_access_key or "") == []
    assert (tmp_path / "d" / "connection-string").stat().st_mode & 0o077 == 0


def test_a_certificate_file_that_holds_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")
    text = f"HostName=localhost;DeviceId=d;SharedAccessKey={some_key()}"
    provision(tmp_path, text, "--hub-ca", str(tmp_path / "ca.pem")).failed(
        3, "ca.pem holds no PEM certificate"
    )
    skerry("edge", "provision", "--connection-string-file", tmp_path / "none").failed(3, "none", "or - for")


def test_settings_that_are_wrong_are_named_with_their_file(tmp_path: Path) -> None:
    provision(tmp_path, f"HostName=localhost;DeviceId=d;SharedAccessKey={some_key()}").succeeded()
    config = tmp_path / "d" / "config.toml"
    config.write_text(config.read_text().replace("mqtt_port = ", 'mqtt_port = "x" # '))
    skerry("edge", "run", "--dir", tmp_path / "d").failed(3, str(config), "mqtt_port", "a whole number")
    config.write_text("x = [")
    skerry("edge", "run", "--dir", tmp_path / "d").failed(3, f"{config} is not TOML")


def provision(folder: Path, text: str, *options: str) -> Outcome:
    return skerry(
        "edge", "provision", "--dir", folder / "d", "--connection-string-file", "-", *options, text_in=text
    )
