"""Azure IoT Edge's config.toml, taken over."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from skerry.clock import SystemClock
from skerry.edge.daemon.identity_source import Certificate, Dps, Manual, registration
from skerry.edge.daemon.iotedge_config import Imported, read_iotedge_config
from skerry.errors import InvalidInput, NotAllowed, NotFound, SkerryError, Unsupported
from skerry.service.certificates import self_signed

CS = "HostName=hub.test;DeviceId=d;SharedAccessKey=a2V5"


DPS = '[provisioning]\nsource = "dps"\nid_scope = "0ne1"\n[provisioning.attestation]\n%s'
CLOCK = SystemClock()


def connection_string(found: Imported) -> str:
    assert isinstance(found.source, Manual)
    return found.source.connection.render()


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
    assert connection_string(found) == CS
    assert found.options == {"hostname": "edge.factory", "network": "factory", "keep_images_s": 3 * 86400}
    assert found.hub_ca == Path("/etc/ca.pem")
    assert found.unused == ("agent", "moby_runtime.uri")
    assert "a2V5" not in repr(found)


def test_a_key_may_be_given_in_parts_and_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    (tmp_path / "key").chmod(0o600)
    parts = """
[provisioning]
source = "manual"
iothub_hostname = "hub.test"
device_id = "d"
[provisioning.authentication]
method = "sas"
device_id_pk = { %s }
"""
    assert connection_string(read(tmp_path, parts % 'value = "a2V5"')) == CS
    key = base64.b64encode(b"0123456789abcdef").decode()
    found = read(tmp_path, parts % f'uri = "file://{tmp_path}/key"')
    assert connection_string(found).endswith(f"SharedAccessKey={key}")


def test_x509_and_the_provisioning_service_are_taken_over(tmp_path: Path) -> None:
    own = self_signed("cam-1", CLOCK)
    (tmp_path / "cam.pem").write_text(own.cert_chain_pem)
    (tmp_path / "cam.key.pem").write_text(own.key_pem)
    (tmp_path / "cam.key.pem").chmod(0o600)
    (tmp_path / "payload.json").write_text('{"model": "x"}')
    certificate = Certificate(own.cert_chain_pem, own.key_pem)
    files = f'identity_cert = "file://{tmp_path}/cam.pem"\nidentity_pk = "file://{tmp_path}/cam.key.pem"'
    manual = '[provisioning]\niothub_hostname = "hub.test"\ndevice_id = "cam-1"\n'
    found = read(tmp_path, f'{manual}[provisioning.authentication]\nmethod = "x509"\n{files}')
    assert connection_string(found) == "HostName=hub.test;DeviceId=cam-1;x509=true"
    assert found.source.certificate == certificate
    assert own.key_pem not in repr(found.source)
    found = read(tmp_path, DPS % f'method = "x509"\n{files}')
    assert found.source == Dps(registration("0ne1", "cam-1"), certificate=certificate)
    payload = (
        f'payload = {{ uri = "file://{tmp_path}/payload.json" }}\nglobal_endpoint = "https://dps.test"\n'
    )
    by_key = DPS % 'method = "symmetric_key"\nregistration_id = "r-1"\nsymmetric_key = { value = "a2V5" }'
    by_key = by_key.replace("id_scope", f"{payload}id_scope")
    found = read(tmp_path, f'auto_reprovisioning_mode = "AlwaysOnStartup"\n{by_key}')
    expected = Dps(
        registration("0ne1", "r-1"),
        "https://dps.test",
        "a2V5",
        None,
        {"model": "x"},
        "AlwaysOnStartup",
    )
    assert found.source == expected


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    (tmp_path / "key").chmod(0o640)
    key = f'symmetric_key = {{ uri = "file://{tmp_path}/key" }}'
    given = f'method = "symmetric_key"\nregistration_id = "r"\n{key}'
    with pytest.raises(NotAllowed, match="chmod 600"):
        read(tmp_path, DPS % given)


@pytest.mark.parametrize(
    ("text", "kind", "named"),
    [
        ('hostnam = "x"', InvalidInput, "hostnam"),
        ('[provisioning]\nsource = "manual"\nconection_string = "x"', InvalidInput, "conection_string"),
        ('[provisioning]\nsource = "manual"', InvalidInput, "iothub_hostname"),
        ('[provisioning]\nsource = "dps"', InvalidInput, "id_scope"),
        ('[provisioning]\nsource = "dynamic"', Unsupported, "dynamic"),
        (DPS % 'method = "tpm"', Unsupported, "tpm"),
        (DPS % 'method = "symmetric_key"\nregistration_id = "r"', InvalidInput, "symmetric_key"),
        (DPS % 'method = "symmetric_key"\nregistration = "r"', InvalidInput, "attestation.registration"),
        (DPS % 'method = "x509"\nidentity_cert = { method = "est" }', Unsupported, "identity_cert"),
        (DPS % 'method = "x509"\nidentity_cert = "pkcs11:x"', InvalidInput, "pkcs11"),
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
