import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from skerry.clock import ManualClock, SystemClock
from skerry.contract.credentials import ConnectionString
from skerry.errors import Damaged, NotFound
from skerry.hub import certificates
from skerry.hub.policies import BUILT_IN
from skerry.hub.settings import HubSettings
from skerry.hub.setup import connection_string, initialise


async def test_a_second_initialise_keeps_keys_and_certificates(tmp_path: Path) -> None:
    settings = HubSettings(tmp_path, host_name="hub.example")
    await initialise(tmp_path, settings, SystemClock())
    before = pem_files(tmp_path)
    strings = [connection_string(tmp_path, policy) for policy in BUILT_IN]
    await initialise(tmp_path, settings, SystemClock())
    assert pem_files(tmp_path) == before
    assert [connection_string(tmp_path, policy) for policy in BUILT_IN] == strings
    assert len(set(strings)) == len(BUILT_IN)


async def test_private_files_are_the_owners_only(tmp_path: Path) -> None:
    await initialise(tmp_path, HubSettings(tmp_path), SystemClock())
    private = [tmp_path / "ca" / "ca.key.pem", tmp_path / "server.key.pem", tmp_path / "hub.db"]
    assert [path.stat().st_mode & 0o777 for path in private] == [0o600] * 3


async def test_connection_string_names_host_and_policy(tmp_path: Path) -> None:
    await initialise(tmp_path, HubSettings(tmp_path, host_name="hub.example"), SystemClock())
    parsed = ConnectionString.parse(connection_string(tmp_path, "service"))
    assert (parsed.host_name, parsed.shared_access_key_name) == ("hub.example", "service")


async def test_unknown_policy_and_missing_hub_are_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no hub in"):
        connection_string(tmp_path, "service")
    await initialise(tmp_path, HubSettings(tmp_path), SystemClock())
    with pytest.raises(NotFound, match="registryReadWrite"):
        connection_string(tmp_path, "nobody")


async def test_a_damaged_database_is_said_so(tmp_path: Path) -> None:
    await initialise(tmp_path, HubSettings(tmp_path), SystemClock())
    (tmp_path / "hub.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(Damaged):
        connection_string(tmp_path, "service")


def pem_files(data_dir: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in data_dir.rglob("*.pem")}


def names_of(data_dir: Path) -> set[str]:
    certificate = x509.load_pem_x509_certificate(certificates.server_files(data_dir).certificate.read_bytes())
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(name.value) for name in extension.value}


def test_server_certificate_is_issued_anew_for_another_name(tmp_path: Path) -> None:
    certificates.ensure(tmp_path, ("localhost",), SystemClock())
    ca = certificates.ca_file(tmp_path).read_bytes()
    certificates.ensure(tmp_path, ("hub.example", "10.1.2.3"), SystemClock())
    assert names_of(tmp_path) == {"hub.example", "10.1.2.3"}
    assert certificates.ca_file(tmp_path).read_bytes() == ca


def test_server_certificate_is_renewed_before_it_ends(tmp_path: Path) -> None:
    clock = ManualClock()
    certificates.ensure(tmp_path, ("localhost",), clock)
    first = certificates.server_files(tmp_path).certificate.read_bytes()
    clock.set(clock.now() + timedelta(days=300))
    certificates.ensure(tmp_path, ("localhost",), clock)
    assert certificates.server_files(tmp_path).certificate.read_bytes() == first
    clock.set(clock.now() + timedelta(days=40))
    certificates.ensure(tmp_path, ("localhost",), clock)
    assert certificates.server_files(tmp_path).certificate.read_bytes() != first


def test_a_torn_pair_of_key_and_certificate_is_replaced(tmp_path: Path) -> None:
    certificates.ensure(tmp_path, ("localhost",), SystemClock())
    files = certificates.server_files(tmp_path)
    other = tmp_path / "other"
    certificates.ensure(other, ("localhost",), SystemClock())
    files.key.write_bytes(certificates.server_files(other).key.read_bytes())
    certificates.ensure(tmp_path, ("localhost",), SystemClock())
    assert isinstance(files.context(), ssl.SSLContext)
