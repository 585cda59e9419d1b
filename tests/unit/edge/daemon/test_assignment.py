"""A device's identity from a real provisioning service: by key and certificate, kept, asked for again."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from skerry.clock import SystemClock
from skerry.contract.credentials import ConnectionString
from skerry.contract.names import DeviceId
from skerry.contract.provisioning import derived_key
from skerry.edge.daemon.assignment import Reprovisioning, assigned
from skerry.edge.daemon.hub_trust import hub_tls
from skerry.edge.daemon.identity_service import HubIdentityService
from skerry.edge.daemon.identity_source import ALWAYS, Certificate, Dps, Manual, Source, registration
from skerry.edge.daemon.provisioning import provision, read_connection
from skerry.edge.settings import EdgeSettings
from skerry.errors import AlreadyExists, InvalidInput, NotAllowed, NotAuthenticated
from skerry.service.certificates import Authority, Issued, self_signed
from tests.support.ports import free_ports
from tests.unit.hub.certified import self_signed_by, thumbprint
from tests.unit.hub.provisioned import id_scope, keys_of, symmetric
from tests.unit.hub.running import RunningHub, running_hub


class Hasty(SystemClock):
    """Does not wait as long as it is asked to."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.05))


CLOCK = Hasty()


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub") as running:
        yield running


def certificate(own: Issued) -> Certificate:
    return Certificate(own.cert_chain_pem, own.key_pem)


async def dps(hub: RunningHub, name: str, **proof: Any) -> Dps:
    endpoint = f"https://localhost:{hub.addresses.https_port}"
    return Dps(registration(await id_scope(hub), name), endpoint, **proof)


def provisioned(hub: RunningHub, folder: Path, source: Source, **more: Any) -> EdgeSettings:
    options = {"hub_https_port": hub.addresses.https_port, "hub_mqtt_port": hub.addresses.mqtt_port}
    return provision(folder, source, hub_ca=hub.addresses.ca_file, options=options, **more).settings


async def modules_seen_by(settings: EdgeSettings, connection: ConnectionString) -> int:
    """How many modules the hub tells the device that it has."""
    service = HubIdentityService(
        connection, address="", port=settings.hub_https_port, tls=hub_tls(settings, connection), clock=CLOCK
    )
    try:
        return len(await service.list())
    finally:
        await service.close()


async def test_every_way_to_an_identity_leads_to_the_hub(hub: RunningHub, tmp_path: Path) -> None:
    edge: dict[str, Any] = {"capabilities": {"iotEdge": True}}
    line = Authority.create("line", CLOCK)
    own, member, given = self_signed("cam-1", CLOCK), line.issue_client("cam-2"), self_signed("x", CLOCK)
    individual, _ = keys_of(await hub.service.put_enrollment("reg-1", symmetric(deviceId="cam-0", **edge)))
    group, _ = keys_of(await hub.service.put_enrollment("keys", symmetric(**edge), group=True))
    by_certificate = {"clientCertificates": {"primary": {"certificate": own.cert_chain_pem}}}
    attestation = {"type": "x509", "x509": by_certificate}
    await hub.service.put_enrollment("cam-1", {"attestation": attestation, **edge})
    by_line = {"signingCertificates": {"primary": {"certificate": line.certificate_pem}}}
    await hub.service.put_enrollment(
        "line", {"attestation": {"type": "x509", "x509": by_line}, **edge}, group=True
    )
    await hub.service.create_device("cam-4", edge=True, authentication=self_signed_by(thumbprint(given)))
    sources: dict[str, Source] = {
        "cam-0": await dps(hub, "reg-1", key=individual),
        "cam-1": await dps(hub, "cam-1", certificate=certificate(own)),
        "cam-2": await dps(hub, "cam-2", certificate=certificate(member)),
        "cam-3": await dps(hub, "cam-3", key=derived_key(group, "cam-3")),
        "cam-4": Manual(ConnectionString("localhost", DeviceId("cam-4"), x509=True), certificate(given)),
    }
    for name, source in sources.items():
        settings = provisioned(hub, tmp_path / name, source)
        connection = await assigned(settings, CLOCK)
        assert (connection.identity.client_id, connection.host_name) == (name, "localhost")
        assert await modules_seen_by(settings, connection) == 2
        assert read_connection(settings) == connection
        for file in settings.data_dir.iterdir():
            secret = file.is_file() and ("key" in file.name or "connection" in file.name)
            assert not secret or stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_an_assignment_is_kept_for_boots_without_a_network(hub: RunningHub, tmp_path: Path) -> None:
    key, _ = keys_of(await hub.service.put_enrollment("cam-1", symmetric()))
    source = await dps(hub, "cam-1", key=key)
    settings = provisioned(hub, tmp_path / "d", source)
    first = await assigned(settings, CLOCK)
    (free,) = free_ports(1)
    file = settings.data_dir / "dps.json"
    away = {**json.loads(file.read_text()), "endpoint": f"https://localhost:{free}"}
    for mode in ("OnErrorOnly", ALWAYS):
        file.write_text(json.dumps({**away, "mode": mode}))
        assert await assigned(settings, SystemClock()) == first
    assert key not in file.read_text()
    # Provisioning again with the same source keeps it too; with another key it has to be asked for anew.
    file.write_text(json.dumps({**away, "endpoint": source.endpoint}))
    provisioned(hub, tmp_path / "d", source)
    assert read_connection(settings) == first
    other = await dps(hub, "cam-1", key=derived_key(key, "other"))
    provisioned(hub, tmp_path / "d", other)
    assert not settings.connection_string_file.exists()


async def test_a_device_that_was_never_assigned_asks_until_it_is(hub: RunningHub, tmp_path: Path) -> None:
    key, _ = keys_of(await hub.service.put_enrollment("cam-1", symmetric(provisioningStatus="disabled")))
    settings = provisioned(hub, tmp_path / "d", await dps(hub, "cam-1", key=key))
    waiting = asyncio.ensure_future(assigned(settings, CLOCK))
    async with asyncio.timeout(10):
        while not (refused := (await hub.service.provisioning())["refused"]):
            await asyncio.sleep(0.02)
    assert refused[0]["reason"] == "disabled"
    document = await hub.service.enrollment("cam-1")
    await hub.service.put_enrollment(
        "cam-1", {**document, "provisioningStatus": "enabled"}, etag=document["etag"]
    )
    async with asyncio.timeout(20):
        assert (await waiting).identity.client_id == "cam-1"


async def test_asking_again_tells_whether_the_device_is_somebody_else(
    hub: RunningHub, tmp_path: Path
) -> None:
    key, _ = keys_of(await hub.service.put_enrollment("reg-1", symmetric(deviceId="cam-1")))
    settings = provisioned(hub, tmp_path / "d", await dps(hub, "reg-1", key=key))
    connection = await assigned(settings, CLOCK)
    again = Reprovisioning(settings, connection, CLOCK)
    assert await again.answer() == {"device": "cam-1", "hub": "localhost", "changed": False}
    described = {"type": "dps", "dynamicReprovisioning": False, "alwaysReprovisionOnStartup": False}
    assert again.described == described
    document = await hub.service.enrollment("reg-1")
    await hub.service.put_enrollment("reg-1", {**document, "deviceId": "cam-9"}, etag=document["etag"])
    # As when the hub refuses the device.
    asking = asyncio.ensure_future(again.run())
    again.refused()
    async with asyncio.timeout(10):
        await again.changed.wait()
    asking.cancel()
    await asyncio.wait([asking])
    assert (await assigned(settings, CLOCK)).identity.client_id == "cam-9"


async def test_a_refusal_says_what_to_look_at(
    hub: RunningHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key, _ = keys_of(await hub.service.put_enrollment("cam-1", symmetric()))
    wrong = provisioned(hub, tmp_path / "a", await dps(hub, "cam-1", key=derived_key(key, "x")))
    with pytest.raises(NotAuthenticated, match="answered 401 to cam-1") as caught:
        await Reprovisioning(wrong, ConnectionString("h", DeviceId("d"), x509=True), CLOCK).ask()
    assert key not in str(caught.value)
    given = provisioned(
        hub, tmp_path / "b", Manual(ConnectionString("h", DeviceId("d"), shared_access_key=key))
    )
    with pytest.raises(InvalidInput, match="was given its identity"):
        await Reprovisioning(given, read_connection(given), CLOCK).ask()
    right = provisioned(hub, tmp_path / "c", await dps(hub, "cam-1", key=key))
    assert (await assigned(right, CLOCK)).shared_access_key == key
    assert "cam-1 is cam-1 at localhost" in caplog.text
    assert key not in caplog.text


async def test_keys_that_others_may_read_are_refused(hub: RunningHub, tmp_path: Path) -> None:
    own = self_signed("d", CLOCK)
    source = Manual(ConnectionString("h", DeviceId("d"), x509=True), certificate(own))
    settings = provisioned(hub, tmp_path / "d", source)
    for file in (settings.identity_key_file, settings.connection_string_file):
        file.chmod(0o644)
        with pytest.raises(NotAllowed, match="chmod 600"):
            await assigned(settings, CLOCK)
        file.chmod(0o600)
    assert (await assigned(settings, CLOCK)).x509
    by_key = provisioned(hub, tmp_path / "e", await dps(hub, "d", key="a2V5"))
    (by_key.data_dir / "dps-key").chmod(0o640)
    with pytest.raises(NotAllowed, match="chmod 600"):
        await assigned(by_key, CLOCK)


async def test_a_folder_of_another_registration_needs_force(hub: RunningHub, tmp_path: Path) -> None:
    one, two = await dps(hub, "one", key="a2V5"), await dps(hub, "two", key="a2V5")
    provisioned(hub, tmp_path / "d", one)
    with pytest.raises(AlreadyExists, match="belongs to one of"):
        provisioned(hub, tmp_path / "d", two)
    manual = Manual(ConnectionString("h", DeviceId("d"), shared_access_key="a2V5"))
    with pytest.raises(AlreadyExists):
        provisioned(hub, tmp_path / "d", manual)
    settings = provisioned(hub, tmp_path / "d", manual, force=True)
    assert not (settings.data_dir / "dps.json").exists()
    assert not (settings.data_dir / "dps-key").exists()
    with pytest.raises(AlreadyExists):
        provisioned(hub, tmp_path / "d", two)


@pytest.mark.parametrize(
    ("chain", "key"), [("garbage", ""), ("own", "other"), ("own", "garbage"), ("other", "own")]
)
def test_a_certificate_needs_its_own_key(chain: str, key: str) -> None:
    own, other = self_signed("d", CLOCK), self_signed("d", CLOCK)
    chains = {"own": own.cert_chain_pem, "other": other.cert_chain_pem}
    keys = {"own": own.key_pem, "other": other.key_pem}
    with pytest.raises(InvalidInput):
        Certificate(chains.get(chain, chain), keys.get(key, key))
