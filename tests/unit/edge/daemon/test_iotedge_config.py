"""Azure IoT Edge's config.toml, taken over."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from skerry.edge.daemon.iotedge_config import Imported, read_iotedge_config
from skerry.errors import InvalidInput, NotFound, SkerryError, Unsupported

CS = "HostName=hub.test;DeviceId=d;SharedAccessKey=a2V5"


def read(tmp_path: Path, text: str) -> Imported:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return read_iotedge_config(file)


def test_a_usual_file_is_taken_over(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        f"""
hostname = "edge.factory"
trust_bundle_cert = "file:///etc/ca.pem"
auto_reprovisioning_mode = "OnErrorOnly"
[provisioning]
source = "manual"
connection_string = "{CS}"
[agent]
name = "edgeAgent"
type = "docker"
[moby_runtime]
uri = "unix:///var/run/docker.sock"
network = "factory"
[image_garbage_collection]
enabled = true
image_age_cleanup_threshold = "3d"
""",
    )
    assert found.connection_string == CS
    assert found.options == {"hostname": "edge.factory", "network": "factory", "keep_images_s": 3 * 86400}
    assert found.hub_ca == Path("/etc/ca.pem")
    assert found.unused == ("auto_reprovisioning_mode", "agent", "moby_runtime.uri")
    assert "a2V5" not in repr(found)


def test_a_key_may_be_given_in_parts_and_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    parts = """
[provisioning]
source = "manual"
iothub_hostname = "hub.test"
device_id = "d"
[provisioning.authentication]
method = "sas"
device_id_pk = { %s }
"""
    assert read(tmp_path, parts % 'value = "a2V5"').connection_string == CS
    key = base64.b64encode(b"0123456789abcdef").decode()
    found = read(tmp_path, parts % f'uri = "file://{tmp_path}/key"')
    assert found.connection_string.endswith(f"SharedAccessKey={key}")


@pytest.mark.parametrize(
    ("text", "kind", "named"),
    [
        ('hostnam = "x"', InvalidInput, "hostnam"),
        ('[provisioning]\nsource = "manual"\nconection_string = "x"', InvalidInput, "conection_string"),
        ('[provisioning]\nsource = "manual"', InvalidInput, "iothub_hostname"),
        ('[provisioning]\nsource = "dps"\nid_scope = "x"', Unsupported, "dps"),
        (
            '[provisioning]\nsource = "manual"\nauthentication = { method = "x509", identity_cert = "x" }',
            Unsupported,
            "x509",
        ),
        ("hostname = 3", InvalidInput, "hostname"),
        ("hostname", InvalidInput, "TOML"),
        ('provisioning = "x"', InvalidInput, "provisioning"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, kind: type[SkerryError], named: str) -> None:
    with pytest.raises(kind, match=named):
        read(tmp_path, text)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_iotedge_config(tmp_path / "none.toml")
