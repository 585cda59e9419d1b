"""``azure-iot-device`` with client certificates: self-signed and from an authority, MQTT and WebSocket."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from azure.iot.device import X509, IoTHubDeviceClient, ProvisioningDeviceClient
from azure.iot.device.exceptions import CredentialError

from skerry.clock import SystemClock
from skerry.errors import Unavailable
from skerry.hub.client import ServiceClient
from skerry.service.certificates import Authority, Issued, self_signed
from tests.support.namespace import GATEWAY_NAME, HUB_NAME
from tests.support.stack import Edge, Hub, eventually
from tests.system.sdk.clients import SDK_MARKS, answer_methods, json_message
from tests.unit.hub.certified import self_signed_by, thumbprint

pytestmark = SDK_MARKS

CLOCK = SystemClock()
# The SDK's own type hints stop at this one.
_new_x509: Any = X509


def client_with(hub: Hub, folder: Path, device: str, own: Issued, **more: Any) -> Any:
    """A client that trusts the hub's root, unless ``more`` says otherwise."""
    options = {"server_verification_cert": hub.ca_file.read_text(), **more}
    folder.mkdir(exist_ok=True)
    (folder / "device.pem").write_text(own.cert_chain_pem)
    (folder / "device.key.pem").write_text(own.key_pem)
    return IoTHubDeviceClient.create_from_x509_certificate(
        x509=_new_x509(str(folder / "device.pem"), str(folder / "device.key.pem")),
        hostname=HUB_NAME,
        device_id=device,
        connection_retry=False,
        **options,
    )


def works(hub: Hub, client: Any, device: str) -> None:
    """Telemetry, twin and a method, as any device has them."""
    client.connect()
    answer_methods(client)
    client.send_message(json_message('{"t": 21.5}'))
    client.patch_twin_reported_properties({"led": True})
    assert client.get_twin()["reported"]["led"] is True
    assert hub.invoke(device, "blink", 1).payload == {"name": "blink", "got": 1}
    client.shutdown()
    (event,) = hub.events(1)
    assert (event["deviceId"], event["body"]) == (device, {"t": 21.5})


@pytest.mark.parametrize("websockets", [False, True])
def test_a_self_signed_device_works(hub: Hub, tmp_path: Path, websockets: bool) -> None:
    own = self_signed("dev-1", CLOCK, key="rsa2048")
    prints = self_signed_by("", thumbprint(own))
    hub.call(lambda service: service.create_device("dev-1", authentication=prints))
    works(hub, client_with(hub, tmp_path / "d", "dev-1", own, websockets=websockets), "dev-1")


@pytest.mark.parametrize("websockets", [False, True])
def test_a_device_of_a_proved_authority_works(hub: Hub, tmp_path: Path, websockets: bool) -> None:
    root = Authority.create("plant", CLOCK)
    own = root.issue_intermediate("line 1").issue_client("dev-1")
    hub.call(lambda service: service.create_device("dev-1", authentication={"type": "certificateAuthority"}))
    hub.call(lambda service: service.put_certificate("plant", root.certificate_pem))
    code = hub.call(lambda service: service.challenge_certificate("plant"))
    proof = root.issue_client(code).cert_chain_pem
    hub.call(lambda service: service.verify_certificate("plant", proof))
    works(hub, client_with(hub, tmp_path / "d", "dev-1", own, websockets=websockets), "dev-1")


def test_another_certificate_is_a_credential_error(hub: Hub, tmp_path: Path) -> None:
    own, other = self_signed("dev-1", CLOCK), self_signed("dev-1", CLOCK)
    prints = self_signed_by(thumbprint(own))
    hub.call(lambda service: service.create_device("dev-1", authentication=prints))
    client = client_with(hub, tmp_path / "d", "dev-1", other)
    with pytest.raises(CredentialError):
        client.connect()
    client.shutdown()


def registered(hub: Hub, folder: Path, name: str, own: Issued, *, websockets: bool) -> Any:
    """What Microsoft's provisioning client makes of it."""
    folder.mkdir(exist_ok=True)
    (folder / "device.pem").write_text(own.cert_chain_pem)
    (folder / "device.key.pem").write_text(own.key_pem)
    client = ProvisioningDeviceClient.create_from_x509_certificate(
        provisioning_host=HUB_NAME,
        registration_id=name,
        id_scope=hub.call(lambda service: service.provisioning())["idScope"],
        x509=_new_x509(str(folder / "device.pem"), str(folder / "device.key.pem")),
        websockets=websockets,
        server_verification_cert=hub.ca_file.read_text(),
    )
    return client.register()


@pytest.mark.parametrize("websockets", [False, True])
def test_devices_find_their_hub_by_certificate(hub: Hub, tmp_path: Path, websockets: bool) -> None:
    """Enrolled individually, and by a group of an intermediate authority."""
    line = Authority.create("plant", CLOCK).issue_intermediate("line 1")
    single, member = self_signed("cam-1", CLOCK), line.issue_client("press-7")
    for name, source, pem, group in (
        ("cam-1", "clientCertificates", single.cert_chain_pem, False),
        ("line-1", "signingCertificates", line.certificate_pem, True),
    ):
        document = {"attestation": {"type": "x509", "x509": {source: {"primary": {"certificate": pem}}}}}
        enrol = partial(ServiceClient.put_enrollment, name=name, document=document, group=group)
        hub.call(enrol)
    for name, own in (("cam-1", single), ("press-7", member)):
        result = registered(hub, tmp_path / name, name, own, websockets=websockets)
        assert (result.status, result.registration_state.device_id) == ("assigned", name)
        assert result.registration_state.assigned_hub == HUB_NAME
    works(hub, client_with(hub, tmp_path / "press-7", "press-7", member), "press-7")


def test_a_device_that_is_not_enrolled_is_refused(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(CredentialError):
        registered(hub, tmp_path / "d", "nobody", self_signed("nobody", CLOCK), websockets=False)


@pytest.mark.parametrize("method", ["selfSigned", "certificateAuthority"])
def test_a_leaf_device_works_through_the_gateway(hub: Hub, edge: Edge, tmp_path: Path, method: str) -> None:
    plant = Authority.create("plant", CLOCK)
    own = plant.issue_client("leaf-1")
    hub.call(lambda service: service.put_certificate("plant", plant.certificate_pem, verified=True))
    gateway = hub.call(lambda service: service.device("edge-1"))
    authentication = {"type": method, "x509Thumbprint": {"primaryThumbprint": thumbprint(own)}}
    leaf = hub.call(lambda service: service.create_device("leaf-1", authentication=authentication))
    scoped = {**leaf, "deviceScope": gateway["deviceScope"]}
    hub.call(lambda service: service.update_device(scoped))
    client = client_with(
        hub,
        tmp_path / "d",
        "leaf-1",
        own,
        gateway_hostname=GATEWAY_NAME,
        server_verification_cert=edge.ca_file.read_text(),
    )
    client.connect()
    answer_methods(client)
    client.patch_twin_reported_properties({"led": True})
    assert client.get_twin()["reported"]["led"] is True
    eventually(lambda: _invoked(hub))
    client.shutdown()


def _invoked(hub: Hub) -> bool:
    """Whether the hub reaches the leaf by now; the gateway has to have connected for it first."""
    try:
        return bool(hub.invoke("leaf-1", "blink", 1).payload["got"] == 1)
    except Unavailable:
        return False
