"""``azure-iot-device`` finds its hub by our provisioning service, and then connects to it.

Microsoft's Python client for the enrolment API is not among our packages: raw REST stands in for it, with
a token by the provisioning service's own policy.
"""

from __future__ import annotations

from typing import Any

import pytest
import requests
from azure.iot.device import IoTHubDeviceClient, ProvisioningDeviceClient
from azure.iot.device.exceptions import ClientError, CredentialError, ServiceError

from skerry.clock import SystemClock
from skerry.contract.credentials import ConnectionString, key_signer, make_token
from skerry.contract.provisioning import derived_key
from skerry.hub.setup import connection_string
from tests.support.namespace import HUB_NAME
from tests.support.stack import Hub
from tests.system.sdk.clients import SDK_MARKS

pytestmark = SDK_MARKS

Json = dict[str, Any]
OTHER_KEY = "b3RoZXIga2V5LCBvdGhlciBrZXksIG90aGVyIGtleSE="


def rest(hub: Hub, method: str, path: str, body: Json | None = None) -> Any:
    """What the service API answers."""
    owner = ConnectionString.parse(connection_string(hub.data_dir, "provisioningserviceowner"))
    assert owner.shared_access_key is not None
    expiry = int(SystemClock().now().timestamp()) + 600
    signer = key_signer(owner.shared_access_key)
    token = make_token(owner.host_name, signer, expiry, owner.shared_access_key_name)
    answer = requests.request(
        method,
        f"https://{owner.host_name}{path}?api-version=2021-10-01",
        json=body,
        headers={"Authorization": token},
        timeout=10,
    )
    answer.raise_for_status()
    return answer.json()


def enroll(hub: Hub, kind: str, name: str, **more: Any) -> str:
    """Its generated primary key."""
    document = {"attestation": {"type": "symmetricKey"}, **more}
    made = rest(hub, "PUT", f"/{kind}/{name}", document)
    return str(made["attestation"]["symmetricKey"]["primaryKey"])


def provisioned(hub: Hub, name: str, key: str, *, websockets: bool = False) -> Any:
    """What the SDK makes of the registration of a device with this key."""
    client = ProvisioningDeviceClient.create_from_symmetric_key(
        provisioning_host=HUB_NAME,
        registration_id=name,
        id_scope=rest(hub, "GET", "/provisioning")["idScope"],
        symmetric_key=key,
        websockets=websockets,
        server_verification_cert=hub.ca_file.read_text(),
    )
    client.provisioning_payload = {"model": "dtmi:test;1"}
    return client.register()


def sends(hub: Hub, state: Any, key: str) -> Json:
    """The event that arrives when the registered device sends one, over the same SDK."""
    device = IoTHubDeviceClient.create_from_symmetric_key(
        symmetric_key=key,
        hostname=state.assigned_hub,
        device_id=state.device_id,
        server_verification_cert=hub.ca_file.read_text(),
    )
    device.connect()
    device.send_message("here I am")
    device.shutdown()
    (event,) = hub.events(1)
    return event


@pytest.mark.parametrize("websockets", [False, True], ids=["mqtt", "websocket"])
def test_a_device_with_an_enrollment_of_its_own_finds_its_hub(hub: Hub, websockets: bool) -> None:
    key = enroll(hub, "enrollments", "reg-1", deviceId="cam-1", initialTwin={"tags": {"site": "a"}})
    result = provisioned(hub, "reg-1", key, websockets=websockets)
    assert result.status == "assigned"
    state = result.registration_state
    assert (state.assigned_hub, state.device_id) == (HUB_NAME, "cam-1")
    assert state.sub_status == "initialAssignment"
    assert hub.call(lambda service: service.twin("cam-1"))["tags"] == {"site": "a"}
    assert sends(hub, state, key)["deviceId"] == "cam-1"


@pytest.mark.parametrize("websockets", [False, True], ids=["mqtt", "websocket"])
def test_a_device_of_a_group_finds_its_hub(hub: Hub, websockets: bool) -> None:
    group_key = enroll(hub, "enrollmentGroups", "line-1")
    key = derived_key(group_key, "press-7")
    result = provisioned(hub, "press-7", key, websockets=websockets)
    state = result.registration_state
    assert (result.status, state.assigned_hub, state.device_id) == ("assigned", HUB_NAME, "press-7")
    assert sends(hub, state, key)["deviceId"] == "press-7"
    again = provisioned(hub, "press-7", key, websockets=websockets)
    assert again.registration_state.sub_status == "deviceDataMigrated"


def test_an_edge_device_is_registered_as_one(hub: Hub) -> None:
    key = enroll(hub, "enrollments", "edge-1", capabilities={"iotEdge": True})
    provisioned(hub, "edge-1", key)
    names = {module["moduleId"] for module in hub.call(lambda service: service.modules("edge-1"))}
    assert names == {"$edgeAgent", "$edgeHub"}


@pytest.mark.parametrize("fault", ["wrong key", "not enrolled", "disabled", "the group's own key"])
def test_a_device_that_may_not_gets_a_credential_error(hub: Hub, fault: str) -> None:
    status = "disabled" if fault == "disabled" else "enabled"
    key = enroll(hub, "enrollments", "reg-1", provisioningStatus=status)
    group_key = enroll(hub, "enrollmentGroups", "line-1")
    name, given = {
        "wrong key": ("reg-1", OTHER_KEY),
        "not enrolled": ("reg-2", OTHER_KEY),
        "disabled": ("reg-1", key),
        "the group's own key": ("reg-2", group_key),
    }[fault]
    with pytest.raises(CredentialError):
        provisioned(hub, name, given)
    (refused,) = rest(hub, "GET", "/provisioning")["refused"]
    assert refused["registrationId"] == name
    assert hub.call(lambda service: service.devices()) == []


def test_a_device_that_cannot_be_assigned_gets_a_service_error(hub: Hub) -> None:
    hub.create_device("gateway")
    group_key = enroll(hub, "enrollmentGroups", "line-1")
    # The SDK's blocking client wraps what its own documentation promises.
    with pytest.raises(ClientError) as caught:
        provisioned(hub, "gateway", derived_key(group_key, "gateway"))
    assert isinstance(caught.value.__cause__, ServiceError)
    state = rest(hub, "GET", "/registrations/gateway")
    assert (state["status"], state["errorCode"]) == ("failed", 409001)
    assert "device gateway exists" in state["errorMessage"]
