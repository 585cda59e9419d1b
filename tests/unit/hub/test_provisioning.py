"""Devices get their identity from the provisioning service over MQTT and HTTP (contract §5)."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from skerry.contract.names import Identity
from skerry.contract.provisioning import derived_key, poll_topic, register_topic
from skerry.errors import NotAuthenticated, NotFound, Unavailable
from tests.unit.hub.provisioned import keys_of, provisioning, registered, symmetric, token
from tests.unit.hub.running import RunningHub, connected

OTHER_KEY = base64.b64encode(b"k" * 32).decode()


async def is_online(hub: RunningHub, device: str, key: str) -> bool:
    async with connected(hub.client_with_key(Identity.parse(device), key)):
        return bool((await hub.service.device(device))["connectionState"] == "Connected")


async def test_an_individually_enrolled_device_registers_and_connects(hub: RunningHub) -> None:
    twin = {"tags": {"site": "a"}, "properties": {"desired": {"interval": 5}}}
    document = symmetric(deviceId="cam-1", capabilities={"iotEdge": True}, initialTwin=twin)
    primary, secondary = keys_of(await hub.service.put_enrollment("reg-1", document))
    state = await registered(hub, "reg-1", primary)
    assert (state["assignedHub"], state["deviceId"]) == ("localhost", "cam-1")
    assert (state["registrationId"], state["substatus"]) == ("reg-1", "initialAssignment")
    device = await hub.service.device("cam-1")
    assert device["authentication"]["symmetricKey"] == {"primaryKey": primary, "secondaryKey": secondary}
    assert device["capabilities"] == {"iotEdge": True}
    shown = await hub.service.twin("cam-1")
    assert (shown["tags"], shown["properties"]["desired"]["interval"]) == ({"site": "a"}, 5)
    assert await is_online(hub, "cam-1", primary)
    assert (await hub.service.enrollment("reg-1"))["registrationState"]["deviceId"] == "cam-1"
    again = await registered(hub, "reg-1", secondary)
    changed = {name for name in state if again[name] != state[name]}
    assert changed <= {"substatus", "lastUpdatedDateTimeUtc", "etag"}
    assert again["substatus"] == "deviceDataMigrated"


async def test_a_device_with_a_derived_key_registers_by_its_group(hub: RunningHub) -> None:
    other = await hub.service.put_enrollment("another", symmetric(), group=True)
    keys = keys_of(await hub.service.put_enrollment("line-1", symmetric(), group=True))
    assert keys_of(other) != keys
    own = [derived_key(key, "press-7") for key in keys]
    state = await registered(hub, "press-7", own[1])
    assert (state["deviceId"], state["status"]) == ("press-7", "assigned")
    device = await hub.service.device("press-7")
    assert device["authentication"]["symmetricKey"] == {"primaryKey": own[0], "secondaryKey": own[1]}
    assert await is_online(hub, "press-7", own[0])
    assert [one["deviceId"] async for one in hub.service.registrations("line-1")] == ["press-7"]
    assert [one async for one in hub.service.registrations("another")] == []


async def test_a_poll_tells_what_the_registration_did(hub: RunningHub) -> None:
    key, _ = keys_of(await hub.service.put_enrollment("reg-1", symmetric()))
    async with provisioning(hub, "reg-1", await token(hub, "reg-1", key)) as device:
        _, answer = await device.register()
        assert await device.poll(answer["operationId"]) == (200, answer)
        status, error = await device.poll("4.no.such")
        assert (status, error["errorCode"]) == (404, 404001)
        assert (await device.register({"registrationId": "reg-2"}))[0] == 400
        assert (await device.ask(register_topic("r"), b"{"))[0] == 400


async def refusal(hub: RunningHub, name: str, password: str, scope: str = "") -> str:
    """The reason that the operator sees; the device sees none."""
    with pytest.raises(NotAuthenticated) as caught:
        async with provisioning(hub, name, password, scope=scope):
            pass
    assert "reason" not in caught.value.fields
    refused = (await hub.service.provisioning())["refused"]
    assert refused[0]["registrationId"] == name
    return str(refused[0]["reason"])


async def test_who_is_refused_is_explained_to_the_operator_only(hub: RunningHub) -> None:
    key, _ = keys_of(await hub.service.put_enrollment("reg-1", symmetric()))
    group_key, _ = keys_of(await hub.service.put_enrollment("line", symmetric(), group=True))
    off = symmetric(provisioningStatus="disabled")
    off_key, _ = keys_of(await hub.service.put_enrollment("off", off))
    off_group_key, _ = keys_of(await hub.service.put_enrollment("off-line", off, group=True))
    derived = derived_key(group_key, "reg-1")
    wrong_scope = await token(hub, "reg-1", key, scope="0ne00000000")
    told = {
        "wrong key": await refusal(hub, "reg-1", await token(hub, "reg-1", OTHER_KEY)),
        "group's key for an individual": await refusal(hub, "reg-1", await token(hub, "reg-1", derived)),
        "group's key itself": await refusal(hub, "new", await token(hub, "new", group_key)),
        "another's token": await refusal(hub, "reg-1", await token(hub, "off", key)),
        "expired": await refusal(hub, "reg-1", await token(hub, "reg-1", key, lifetime_s=-5)),
        "disabled": await refusal(hub, "off", await token(hub, "off", off_key)),
        "disabled group": await refusal(
            hub, "of-off", await token(hub, "of-off", derived_key(off_group_key, "of-off"))
        ),
        "disabled, wrong key": await refusal(hub, "off", await token(hub, "off", OTHER_KEY)),
        "no token": await refusal(hub, "reg-1", "secret"),
        "other scope": await refusal(hub, "reg-1", wrong_scope, scope="0ne00000000"),
    }
    assert told == {
        "wrong key": "signature",
        "group's key for an individual": "signature",
        "group's key itself": "unknown",
        "another's token": "audience",
        "expired": "expired",
        "disabled": "disabled",
        "disabled group": "disabled",
        "disabled, wrong key": "signature",
        "no token": "malformed",
        "other scope": "scope",
    }
    assert await hub.service.devices() == []


async def test_an_enrollment_that_is_disabled_meanwhile_registers_nobody(hub: RunningHub) -> None:
    made = await hub.service.put_enrollment("reg-1", symmetric())
    async with provisioning(hub, "reg-1", await token(hub, "reg-1", keys_of(made)[0])) as device:
        off = {**made, "provisioningStatus": "disabled"}
        await hub.service.put_enrollment("reg-1", off, etag=made["etag"])
        status, error = await device.register()
        assert (status, error["message"]) == (401, "Unauthorized")
    assert await hub.service.devices() == []


@pytest.mark.parametrize(
    ("policy", "substatus", "kept"),
    [
        ({"updateHubAssignment": False, "migrateDeviceData": False}, "initialAssignment", True),
        ({"updateHubAssignment": True, "migrateDeviceData": True}, "deviceDataMigrated", True),
        ({"updateHubAssignment": True, "migrateDeviceData": False}, "deviceDataReset", False),
    ],
)
async def test_the_reprovision_policy_says_what_happens_to_the_twin(
    hub: RunningHub, policy: dict[str, bool], substatus: str, kept: bool
) -> None:
    twin = {"tags": {"site": "a"}, "properties": {"desired": {"interval": 5}}}
    document = symmetric(reprovisionPolicy=policy, initialTwin=twin)
    key, _ = keys_of(await hub.service.put_enrollment("reg-1", document))
    await registered(hub, "reg-1", key)
    await hub.service.patch_twin("reg-1", desired={"interval": 9}, tags={"more": 1})
    assert (await registered(hub, "reg-1", key))["substatus"] == substatus
    shown = await hub.service.twin("reg-1")
    desired = shown["properties"]["desired"]["interval"]
    assert (shown["tags"], desired) == (({"site": "a", "more": 1}, 9) if kept else ({"site": "a"}, 5))


async def test_new_keys_reach_the_hub_and_a_disabled_device_stays_disabled(hub: RunningHub) -> None:
    made = await hub.service.put_enrollment("reg-1", symmetric())
    await registered(hub, "reg-1", keys_of(made)[0])
    device = await hub.service.device("reg-1")
    await hub.service.update_device({**device, "status": "disabled", "statusReason": "lost"})
    changed = {**made, **symmetric(OTHER_KEY, OTHER_KEY)}
    await hub.service.put_enrollment("reg-1", changed, etag=made["etag"])
    await registered(hub, "reg-1", OTHER_KEY)
    after = await hub.service.device("reg-1")
    assert after["authentication"]["symmetricKey"]["primaryKey"] == OTHER_KEY
    assert (after["status"], after["statusReason"]) == ("disabled", "lost")


async def test_a_device_that_was_deleted_at_the_hub_comes_back(hub: RunningHub) -> None:
    document = symmetric(reprovisionPolicy={"updateHubAssignment": False}, initialTwin={"tags": {"a": 1}})
    key, _ = keys_of(await hub.service.put_enrollment("reg-1", document))
    await registered(hub, "reg-1", key)
    await hub.service.delete_device("reg-1")
    assert (await registered(hub, "reg-1", key))["substatus"] == "initialAssignment"
    assert (await hub.service.twin("reg-1"))["tags"] == {"a": 1}


async def test_a_groups_key_takes_over_no_device_that_is_not_the_groups(hub: RunningHub) -> None:
    before = await hub.service.create_device("gateway")
    group_key, _ = keys_of(await hub.service.put_enrollment("line", symmetric(), group=True))
    state = await registered(hub, "gateway", derived_key(group_key, "gateway"))
    assert (state["status"], state["errorCode"]) == ("failed", 409001)
    assert "gateway exists" not in state["errorMessage"]
    assert "assignedHub" not in state
    assert await hub.service.device("gateway") == before
    (told,) = [one async for one in hub.service.registrations("line")]
    assert "device gateway exists" in told["errorMessage"]
    # An individual enrolment names the device, so there it is meant.
    key, _ = keys_of(await hub.service.put_enrollment("gateway", symmetric()))
    assert (await registered(hub, "gateway", key))["status"] == "assigned"
    assert await is_online(hub, "gateway", key)


async def test_registering_at_once_gives_one_device(hub: RunningHub) -> None:
    group_key, _ = keys_of(await hub.service.put_enrollment("line", symmetric(), group=True))
    names = ["a", "a", "a", "b", "c"]
    states = await asyncio.gather(*(registered(hub, name, derived_key(group_key, name)) for name in names))
    assert {state["status"] for state in states} == {"assigned"}
    assert [device["deviceId"] for device in await hub.service.devices()] == ["a", "b", "c"]


@pytest.mark.parametrize("topic", ["devices/reg-1/messages/events/", "$iothub/twin/GET/?$rid=1"])
async def test_the_provisioning_service_knows_no_topics_of_the_hub(hub: RunningHub, topic: str) -> None:
    key, _ = keys_of(await hub.service.put_enrollment("reg-1", symmetric()))
    async with provisioning(hub, "reg-1", await token(hub, "reg-1", key)) as device:
        assert list(await device.client.subscribe([("#", 1), ("$iothub/twin/res/#", 0)])) == [0x80, 0x80]
        with pytest.raises(Unavailable):
            await device.ask(topic, b"{}")


async def test_a_device_without_answers_to_hear_is_let_go(hub: RunningHub) -> None:
    key, _ = keys_of(await hub.service.put_enrollment("reg-1", symmetric()))
    async with provisioning(hub, "reg-1", await token(hub, "reg-1", key)) as device:
        await device.client.unsubscribe(["$dps/registrations/res/#"])
        with pytest.raises(Unavailable):
            await device.ask(poll_topic("p", "x"), b"")
    with pytest.raises(NotFound):
        await hub.service.device("reg-1")


async def over_http(hub: RunningHub, name: str, password: str) -> tuple[Any, Any]:
    """The answers to the registration and to the poll that follows."""
    scope = (await hub.service.provisioning())["idScope"]
    base, version = f"/{scope}/registrations/{name}", "api-version=2019-03-31"
    body = {"registrationId": name}
    first = await hub.raw("PUT", f"{base}/register?{version}", password, body=body)
    operation = first.json().get("operationId", "none")
    return first, await hub.raw("GET", f"{base}/operations/{operation}?{version}", password)


async def test_a_device_registers_over_http_in_two_steps(hub: RunningHub) -> None:
    key, _ = keys_of(await hub.service.put_enrollment("reg-1", symmetric()))
    first, second = await over_http(hub, "reg-1", await token(hub, "reg-1", key))
    assert (first.status_code, first.headers["retry-after"]) == (202, "0")
    assert first.json() == {"operationId": first.json()["operationId"], "status": "assigning"}
    assert second.status_code == 200
    assert second.json()["registrationState"]["deviceId"] == "reg-1"
    assert await is_online(hub, "reg-1", key)


async def test_over_http_too_nobody_learns_why_he_is_refused(hub: RunningHub) -> None:
    await hub.service.put_enrollment("reg-1", symmetric())
    known = await over_http(hub, "reg-1", await token(hub, "reg-1", OTHER_KEY))
    unknown = await over_http(hub, "reg-2", await token(hub, "reg-2", OTHER_KEY))
    for answer in (*known, *unknown):
        body = answer.json()
        assert (answer.status_code, body["errorCode"], body["message"]) == (401, 401001, "Unauthorized")
        assert "iothub-errorcode" not in answer.headers
