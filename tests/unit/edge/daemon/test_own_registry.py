"""The device's login at its hub's registry, and where it is not used."""

from pathlib import Path

import pytest

from skerry.clock import ManualClock
from skerry.contract.credentials import ConnectionString, SasToken, verify_token
from skerry.contract.manifest import RegistryCredentials
from skerry.edge.daemon.own_registry import device_registries, own_registry
from skerry.edge.settings import EdgeSettings
from tests.support.edge import key_of

KEY = key_of("pi")
CONNECTION = ConnectionString.parse(f"HostName=hub.plant;DeviceId=pi;SharedAccessKey={KEY}")


def test_the_login_is_the_device_with_a_fresh_token(tmp_path: Path) -> None:
    clock = ManualClock()
    own = own_registry(EdgeSettings(tmp_path, hub_https_port=8443), CONNECTION, clock)
    assert (own.host, own.address) == ("hub.plant:8443", "")
    login = own.login()
    assert (login.address, login.username) == ("hub.plant:8443", "pi")
    now = clock.now().timestamp()
    verify_token(SasToken.parse(login.password), [KEY], ["hub.plant/devices/pi"], now)
    assert KEY not in repr(login)


def test_without_a_key_it_is_the_certificate_that_counts(tmp_path: Path) -> None:
    connection = ConnectionString.parse("HostName=hub.plant;DeviceId=pi;x509=true")
    settings = EdgeSettings(tmp_path, hub_address="10.0.0.1")
    own = own_registry(settings, connection, ManualClock())
    assert (own.host, own.address) == ("hub.plant", "10.0.0.1")
    assert own.login() == RegistryCredentials("hub.plant", "pi", "")


@pytest.mark.parametrize(
    ("image", "own"),
    [
        ("hub.plant:8443/cnn:1", True),
        ("Hub.Plant:8443/cnn:1", True),
        ("hub.plant/cnn:1", False),
        ("other.plant:8443/cnn:1", False),
        ("cnn:1", False),
    ],
)
def test_only_the_hub_gets_it_and_what_the_deployment_says_comes_first(
    tmp_path: Path, image: str, own: bool
) -> None:
    registries = device_registries(EdgeSettings(tmp_path, hub_https_port=8443), CONNECTION, ManualClock())
    assert (registries.login(image, None) is not None) is own
    given = RegistryCredentials("x", "u", "p")
    assert registries.login(image, given) is given
