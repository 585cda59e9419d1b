"""Devices that are provisioned by their certificates (contract §5.3), over MQTT and HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from skerry.clock import ManualClock, SystemClock
from skerry.errors import InvalidInput, NotAuthenticated
from skerry.service.certificates import Authority, Issued, self_signed
from tests.unit.hub.certified import client_with, raw_with, thumbprint
from tests.unit.hub.provisioned import id_scope, provisioning, symmetric, token
from tests.unit.hub.running import RunningHub, connected, refused

CLOCK = SystemClock()
Json = dict[str, Any]


def client_certificates(primary: str, secondary: str = "") -> Json:
    pair = {"primary": {"certificate": primary}}
    if secondary:
        pair["secondary"] = {"certificate": secondary}
    return {"type": "x509", "x509": {"clientCertificates": pair}}


def signing_certificates(authority: Authority) -> Json:
    pair = {"primary": {"certificate": authority.certificate_pem}}
    return {"type": "x509", "x509": {"signingCertificates": pair}}


async def registered(hub: RunningHub, name: str, own: Issued) -> Json:
    async with provisioning(hub, name, certificate=own) as device:
        status, answer = await device.register()
    assert status == 200
    state: Json = answer["registrationState"]
    return state


async def refusal(hub: RunningHub, name: str, own: Issued) -> Mapping[str, Any]:
    """What the operator reads; the device gets CONNACK 5 and no more."""
    with pytest.raises(NotAuthenticated):
        async with provisioning(hub, name, certificate=own):
            pytest.fail("it was not refused")
    newest: Mapping[str, Any] = (await hub.service.provisioning())["refused"][0]
    assert newest["registrationId"] == name
    return newest


async def test_an_individually_enrolled_device_registers_and_connects_with_either(hub: RunningHub) -> None:
    first, second = self_signed("reg-1", CLOCK), self_signed("reg-1", CLOCK)
    attestation = client_certificates(first.cert_chain_pem, second.cert_chain_pem)
    made = await hub.service.put_enrollment("reg-1", {"deviceId": "cam-1", "attestation": attestation})
    shown = made["attestation"]["x509"]["clientCertificates"]
    assert shown["primary"]["info"]["sha256Thumbprint"] == thumbprint(first, sha256=True)
    assert shown["primary"]["info"]["subjectName"] == "CN=reg-1"
    assert "certificate" not in shown["primary"]
    state = await registered(hub, "reg-1", first)
    assert (state["deviceId"], state["substatus"]) == ("cam-1", "initialAssignment")
    authentication = (await hub.service.device("cam-1"))["authentication"]
    assert authentication["type"] == "selfSigned"
    for own in (first, second):
        async with connected(client_with(hub, "cam-1", own)):
            pass
    other = self_signed("reg-1", CLOCK)
    assert (await refusal(hub, "reg-1", other))["reason"] == "thumbprint"
    assert (await refusal(hub, "reg-1", self_signed("reg-2", CLOCK)))["reason"] == "name"


async def test_what_comes_back_without_its_certificates_keeps_them(hub: RunningHub) -> None:
    own = self_signed("reg-1", CLOCK)
    made = await hub.service.put_enrollment("reg-1", {"attestation": client_certificates(own.cert_chain_pem)})
    made["capabilities"] = {"iotEdge": True}
    again = await hub.service.put_enrollment("reg-1", made, etag=made["etag"])
    assert again["attestation"] == made["attestation"]
    await registered(hub, "reg-1", own)
    assert (await hub.service.device("reg-1"))["capabilities"] == {"iotEdge": True}
    with pytest.raises(InvalidInput, match="not known here"):
        await hub.service.put_enrollment("reg-2", {"attestation": made["attestation"]})


async def test_a_group_is_of_an_intermediate_authority(hub: RunningHub) -> None:
    root = Authority.create("plant", CLOCK)
    line, other = root.issue_intermediate("line 1"), root.issue_intermediate("line 2")
    await hub.service.put_enrollment("line-1", {"attestation": signing_certificates(line)}, group=True)
    own = line.issue_intermediate("cell 3").issue_client("press-7")
    state = await registered(hub, "press-7", own)
    assert (state["deviceId"], state["status"]) == ("press-7", "assigned")
    async with connected(client_with(hub, "press-7", own)):
        pass
    assert (await refusal(hub, "press-8", other.issue_client("press-8")))["reason"] == "chain"
    assert (await refusal(hub, "press-8", own))["reason"] == "name"
    # A new certificate of the same device: it registers again, and the hub knows the new one.
    renewed = line.issue_client("press-7")
    assert await refused(client_with(hub, "press-7", renewed))
    assert (await registered(hub, "press-7", renewed))["substatus"] == "deviceDataMigrated"
    async with connected(client_with(hub, "press-7", renewed)):
        pass
    assert await refused(client_with(hub, "press-7", own))


async def test_the_nearest_group_wins_and_a_reference_is_to_a_proved_authority(hub: RunningHub) -> None:
    root = Authority.create("plant", CLOCK)
    line = root.issue_intermediate("line 1")
    reference = {"type": "x509", "x509": {"caReferences": {"primary": "plant"}}}
    with pytest.raises(InvalidInput, match="no verified authority"):
        await hub.service.put_enrollment("all", {"attestation": reference}, group=True)
    await hub.service.put_certificate("plant", root.certificate_pem, verified=True)
    await hub.service.put_enrollment("all", {"attestation": reference}, group=True)
    await hub.service.put_enrollment("line-1", {"attestation": signing_certificates(line)}, group=True)
    await registered(hub, "press-7", line.issue_client("press-7"))
    await registered(hub, "door", root.issue_client("door"))
    members = {
        group: [one["deviceId"] async for one in hub.service.registrations(group)]
        for group in ("all", "line-1")
    }
    assert members == {"all": ["door"], "line-1": ["press-7"]}
    await hub.service.delete_certificate("plant")
    assert (await refusal(hub, "door", root.issue_client("door")))["reason"] == "chain"


async def test_an_authority_does_not_take_over_a_device_that_is_not_of_its_group(hub: RunningHub) -> None:
    line = Authority.create("line", CLOCK)
    await hub.service.put_enrollment("line", {"attestation": signing_certificates(line)}, group=True)
    await hub.service.create_device("press-7")
    state = await registered(hub, "press-7", line.issue_client("press-7"))
    assert state["status"] == "failed"
    assert "exists" not in state["errorMessage"], "why is for the operator"
    assert (
        "is not of enrollment group"
        in (await hub.raw("GET", "/registrations/press-7")).json()["errorMessage"]
    )
    assert (await hub.service.device("press-7"))["authentication"]["type"] == "sas"


async def test_why_a_device_is_refused_is_told_to_the_operator(hub: RunningHub) -> None:
    line = Authority.create("line", CLOCK)
    group = await hub.service.put_enrollment("line", {"attestation": signing_certificates(line)}, group=True)
    past = ManualClock(CLOCK.now() - timedelta(days=60))
    expired = Authority(line.certificate, line.key, (), past).issue_client("old", 3600)
    assert (await refusal(hub, "old", expired))["reason"] == "expired"
    server = line.issue_server("web", ["web"])
    assert (await refusal(hub, "web", server))["reason"] == "usage"
    await hub.service.put_enrollment("by-key", symmetric())
    assert (await refusal(hub, "by-key", line.issue_client("by-key")))["reason"] == "method"
    await hub.service.put_enrollment(
        "by-cert", {"attestation": client_certificates(self_signed("by-cert", CLOCK).cert_chain_pem)}
    )
    key = await token(hub, "by-cert", "a2V5a2V5a2V5a2V5a2V5a2V5a2V5")
    with pytest.raises(NotAuthenticated):
        async with provisioning(hub, "by-cert", key):
            pytest.fail("it was not refused")
    assert (await hub.service.provisioning())["refused"][0]["reason"] == "method"
    await hub.service.put_enrollment(
        "line", {**group, "provisioningStatus": "disabled"}, group=True, etag=group["etag"]
    )
    assert (await refusal(hub, "press-7", line.issue_client("press-7")))["reason"] == "disabled"


async def test_a_device_registers_over_http(hub: RunningHub) -> None:
    line = Authority.create("line", CLOCK)
    await hub.service.put_enrollment("line", {"attestation": signing_certificates(line)}, group=True)
    own = line.issue_client("press-7")
    path = f"/{await id_scope(hub)}/registrations/press-7"
    register = f"{path}/register?api-version=2021-06-01"
    asked = await raw_with(hub, own, "PUT", register, {"registrationId": "press-7"})
    assert asked.status_code == 202
    done = await raw_with(
        hub, own, "GET", f"{path}/operations/{asked.json()['operationId']}?api-version=2021-06-01"
    )
    assert done.json()["registrationState"]["assignedHub"] == "localhost"
    stranger = await raw_with(hub, self_signed("press-7", CLOCK), "PUT", register, {})
    assert (stranger.status_code, stranger.json()["message"]) == (401, "Unauthorized")


@pytest.mark.parametrize("certificate", ["garbage", "", self_signed("d", CLOCK).cert_chain_pem])
async def test_a_group_needs_the_certificate_of_an_authority(hub: RunningHub, certificate: str) -> None:
    pair = {"primary": {"certificate": certificate}}
    document = {"attestation": {"type": "x509", "x509": {"signingCertificates": pair}}}
    with pytest.raises(InvalidInput):
        await hub.service.put_enrollment("g", document, group=True)
