"""Devices that prove themselves by certificates, and the authorities these come from (contract §1.6)."""

from __future__ import annotations

import asyncio
import base64
import logging
from datetime import timedelta

import pytest

from skerry.clock import ManualClock, SystemClock
from skerry.errors import AlreadyExists, InvalidInput, NotAuthenticated, NotFound
from skerry.service.certificates import Authority, Issued, self_signed
from tests.unit.hub.certified import client_with, raw_with, self_signed_by, thumbprint
from tests.unit.hub.running import RunningHub, connected, refused

CLOCK = SystemClock()
CA = {"type": "certificateAuthority"}
EVENTS = "/devices/dev/messages/events"


async def is_online(hub: RunningHub, device: str, own: Issued) -> bool:
    async with connected(client_with(hub, device, own)):
        return bool((await hub.service.device(device))["connectionState"] == "Connected")


async def uploaded(hub: RunningHub, name: str, authority: Authority) -> None:
    """The authority, proved by signing the hub's code."""
    await hub.service.put_certificate(name, authority.certificate_pem)
    code = await hub.service.challenge_certificate(name)
    await hub.service.verify_certificate(name, authority.issue_client(code).cert_chain_pem)


async def test_a_device_connects_with_either_registered_certificate(hub: RunningHub) -> None:
    first, second, third = (self_signed("any name", CLOCK) for _ in range(3))
    prints = self_signed_by(thumbprint(first), thumbprint(second, sha256=True).lower())
    made = await hub.service.create_device("dev", authentication=prints)
    assert made["authentication"]["symmetricKey"] == {"primaryKey": None, "secondaryKey": None}
    assert await is_online(hub, "dev", first)
    assert await is_online(hub, "dev", second)
    assert await refused(client_with(hub, "dev", third))
    made["authentication"]["x509Thumbprint"]["primaryThumbprint"] = thumbprint(third)
    await hub.service.update_device(made)
    assert await refused(client_with(hub, "dev", first))
    assert await is_online(hub, "dev", third)


async def test_new_thumbprints_end_the_connection_of_the_old(hub: RunningHub) -> None:
    old, new = self_signed("dev", CLOCK), self_signed("dev", CLOCK)
    made = await hub.service.create_device("dev", authentication=self_signed_by(thumbprint(old)))
    async with connected(client_with(hub, "dev", old)) as client:
        made["authentication"]["x509Thumbprint"]["primaryThumbprint"] = thumbprint(new)
        await hub.service.update_device(made)
        async with asyncio.timeout(10):
            while client.last_error is None:
                await asyncio.sleep(0.01)
        assert isinstance(client.last_error, NotAuthenticated)


async def test_a_proved_authority_vouches_for_devices_by_name(hub: RunningHub) -> None:
    root = Authority.create("plant", CLOCK)
    line = root.issue_intermediate("line 1")
    await hub.service.create_device("press-7", authentication=CA)
    own = line.issue_client("press-7")
    assert await refused(client_with(hub, "press-7", own))
    await hub.service.put_certificate("plant", root.certificate_pem)
    assert await refused(client_with(hub, "press-7", own)), "uploaded is not proved"
    code = await hub.service.challenge_certificate("plant")
    with pytest.raises(InvalidInput, match="not the verification code"):
        await hub.service.verify_certificate("plant", root.issue_client("else").cert_chain_pem)
    impostor = Authority.create("plant", CLOCK)
    with pytest.raises(InvalidInput, match="not issued by plant"):
        await hub.service.verify_certificate("plant", impostor.issue_client(code).cert_chain_pem)
    done = await hub.service.verify_certificate("plant", root.issue_client(code).cert_chain_pem)
    assert done["properties"]["isVerified"] is True
    assert await is_online(hub, "press-7", own)
    assert await refused(client_with(hub, "press-7", line.issue_client("press-8"))), "another name"
    assert await refused(client_with(hub, "press-7", self_signed("press-7", CLOCK)))
    await hub.service.delete_certificate("plant")
    assert await refused(client_with(hub, "press-7", own))


async def test_certificates_hold_for_their_time(hub: RunningHub) -> None:
    root = Authority.create("plant", CLOCK)
    await uploaded(hub, "plant", root)
    await hub.service.create_device("late", authentication=CA)
    past = ManualClock(CLOCK.now() - timedelta(days=30))
    expired = Authority(root.certificate, root.key, (), past).issue_client("late", 3600)
    assert await refused(client_with(hub, "late", expired))
    old = self_signed("old", past, 3600)
    await hub.service.create_device("old", authentication=self_signed_by(thumbprint(old)))
    assert await refused(client_with(hub, "old", old))
    early = self_signed("early", CLOCK, not_before=CLOCK.now() + timedelta(days=1), valid_s=10 * 86400)
    await hub.service.create_device("early", authentication=self_signed_by(thumbprint(early)))
    assert await refused(client_with(hub, "early", early))


async def test_a_device_with_a_key_is_not_proved_by_a_certificate_nor_the_other_way(hub: RunningHub) -> None:
    own = self_signed("dev", CLOCK)
    with_key = await hub.service.create_device("dev")
    assert await refused(client_with(hub, "dev", own))
    assert await refused(client_with(hub, "nobody", own))
    await hub.service.create_device("x", authentication=self_signed_by(thumbprint(own)))
    key = with_key["authentication"]["symmetricKey"]["primaryKey"]
    assert await refused(hub.client_with_key(client_with(hub, "x", own).identity, key))
    document = await hub.service.device("x")
    await hub.service.update_device({**document, "status": "disabled"})
    assert await refused(client_with(hub, "x", own))


async def test_a_device_is_itself_over_https_too_and_nobody_else(hub: RunningHub) -> None:
    own = self_signed("dev", CLOCK)
    prints = self_signed_by(thumbprint(own))
    await hub.service.create_device("dev", edge=True, authentication=prints)
    await hub.service.create_device("other", authentication=self_signed_by("A" * 40))
    assert (await raw_with(hub, own, "POST", EVENTS, {"t": 1})).status_code == 204
    modules = await raw_with(hub, own, "GET", "/devices/dev/modules")
    assert {one["moduleId"] for one in modules.json()} == {"$edgeAgent", "$edgeHub"}
    for path in ("/devices/other/messages/events", "/devices/none/messages/events"):
        answer = await raw_with(hub, own, "POST", path, {"t": 1})
        assert answer.status_code == 401
        assert answer.json()["reason"] == "certificate", "the device is not told why"
    assert (await raw_with(hub, own, "GET", "/devices")).status_code == 401
    assert (await raw_with(hub, own, "GET", "/devices/dev")).status_code == 403


async def test_the_operator_reads_why_in_the_log(hub: RunningHub, caplog: pytest.LogCaptureFixture) -> None:
    own = self_signed("dev", CLOCK)
    await hub.service.create_device("dev", authentication=self_signed_by("A" * 40))
    with caplog.at_level(logging.INFO):
        await refused(client_with(hub, "dev", own))
        await raw_with(hub, own, "POST", EVENTS, {})
    said = [record.message for record in caplog.records if "another thumbprint" in record.message]
    assert len(said) == 2


async def test_authorities_are_listed_replaced_and_removed(hub: RunningHub) -> None:
    root = Authority.create("plant", CLOCK)
    made = await hub.service.put_certificate("plant", root.certificate_pem, verified=True)
    assert made["properties"]["subject"] == "plant"
    assert base64.b64decode(made["properties"]["certificate"]).decode() == root.certificate_pem
    assert [one["name"] for one in await hub.service.certificates()] == ["plant"]
    with pytest.raises(AlreadyExists):
        await hub.service.put_certificate("PLANT", root.certificate_pem)
    # As Azure's own clients send it: base64 of the file; and a new certificate has to be proved again.
    body = {"properties": {"certificate": base64.b64encode(root.certificate_pem.encode()).decode()}}
    again = await hub.raw("PUT", "/certificates/plant", body=body, headers={"if-match": made["etag"]})
    assert again.json()["properties"]["isVerified"] is True
    new = Authority.create("plant", CLOCK)
    body["properties"]["certificate"] = new.certificate_pem
    changed = await hub.raw("PUT", "/certificates/plant", body=body, headers={"if-match": "*"})
    assert changed.json()["properties"]["isVerified"] is False
    stale = await hub.raw("DELETE", "/certificates/plant", headers={"if-match": made["etag"]})
    assert stale.status_code == 412
    await hub.service.delete_certificate("plant")
    with pytest.raises(NotFound):
        await hub.service.challenge_certificate("plant")
    leaf = self_signed("dev", CLOCK).cert_chain_pem
    for bad in (leaf, "no certificate", ""):
        with pytest.raises(InvalidInput):
            await hub.service.put_certificate("bad", bad)
    assert (await hub.raw("GET", "/certificates", hub.token("service"))).status_code == 403
