"""The enrolment service API over HTTPS (contract §5.4)."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from skerry.contract.provisioning import derived_key
from skerry.errors import AlreadyExists, InvalidInput, NotFound, PreconditionFailed, Unsupported
from tests.unit.hub.provisioned import keys_of, registered, symmetric
from tests.unit.hub.running import RunningHub, running_hub

VERSION = "?api-version=2021-10-01"
KEYS = tuple(base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))


@pytest.mark.parametrize("group", [False, True])
async def test_an_enrollment_is_created_read_updated_and_deleted(hub: RunningHub, group: bool) -> None:
    service = hub.service
    made = await service.put_enrollment("one", symmetric(), group=group)
    shown = await service.enrollment("ONE", group=group)
    assert shown == {**made, "attestation": {"type": "symmetricKey"}}
    assert await service.enrollment_attestation("one", group=group) == made["attestation"]
    assert len(set(keys_of(made))) == 2
    # Read, change, write back: the keys, which were not shown, stay.
    changed = {**shown, "capabilities": {"iotEdge": True}}
    saved = await service.put_enrollment("one", changed, group=group, etag=shown["etag"])
    assert keys_of(saved) == keys_of(made)
    assert saved["capabilities"] == {"iotEdge": True}
    assert saved["createdDateTimeUtc"] == made["createdDateTimeUtc"]
    with pytest.raises(PreconditionFailed):
        await service.put_enrollment("one", changed, group=group, etag=shown["etag"])
    with pytest.raises(AlreadyExists):
        await service.put_enrollment("One", symmetric(), group=group)
    own = await service.put_enrollment("one", {**saved, **symmetric(*KEYS)}, group=group, etag="*")
    assert keys_of(own) == KEYS
    await service.delete_enrollment("one", group=group)
    for verb in (service.enrollment, service.enrollment_attestation, service.delete_enrollment):
        with pytest.raises(NotFound):
            await verb("one", group=group)
    with pytest.raises(NotFound):
        await service.put_enrollment("one", symmetric(), group=group, etag="*")


async def test_enrollments_and_registrations_outlive_a_restart(hub: RunningHub) -> None:
    key, _ = keys_of(await hub.service.put_enrollment("one", symmetric()))
    scope = (await hub.service.provisioning())["idScope"]
    state = await registered(hub, "one", key)
    async with running_hub(hub.data_dir) as again:
        assert (await again.service.provisioning())["idScope"] == scope
        assert (await again.service.enrollment("one"))["registrationState"] == state
        assert (await registered(again, "one", key))["createdDateTimeUtc"] == state["createdDateTimeUtc"]


async def test_each_kind_is_listed_page_by_page(hub: RunningHub) -> None:
    for name in ("c", "a", "B"):
        await hub.service.put_enrollment(name, symmetric())
    await hub.service.put_enrollment("group", symmetric(), group=True)
    names = [one["registrationId"] async for one in hub.service.enrollments()]
    assert names == ["a", "B", "c"]
    assert [one["enrollmentGroupId"] async for one in hub.service.enrollments(group=True)] == ["group"]
    path, query = f"/enrollments/query{VERSION}", {"query": "SELECT * FROM enrollments"}
    first = await hub.raw("POST", path, body=query, headers={"x-ms-max-item-count": "2"})
    assert first.headers["x-ms-item-type"] == "enrollment"
    more = {"x-ms-continuation": first.headers["x-ms-continuation"]}
    last = await hub.raw("POST", path, body=query, headers=more)
    assert [one["registrationId"] for one in (*first.json(), *last.json())] == names
    assert "x-ms-continuation" not in last.headers
    refused = await hub.raw("POST", path, body={"query": "SELECT * FROM enrollments WHERE a = 1"})
    assert refused.status_code == 501
    for token in (b"%", b"_w==", b"\xe9"):
        headers: Any = {"x-ms-continuation": token}
        assert (await hub.raw("POST", path, body=query, headers=headers)).status_code == 400


async def test_the_registrations_of_a_group_go_with_it(hub: RunningHub) -> None:
    key, _ = keys_of(await hub.service.put_enrollment("line", symmetric(), group=True))
    for name in ("a", "b"):
        await registered(hub, name, derived_key(key, name))
    state = (await hub.raw("GET", f"/registrations/a{VERSION}")).json()
    assert (state["deviceId"], state["status"]) == ("a", "assigned")
    headers = {"If-Match": "other"}
    assert (await hub.raw("DELETE", f"/registrations/a{VERSION}", headers=headers)).status_code == 412
    assert (await hub.raw("DELETE", f"/registrations/a{VERSION}")).status_code == 204
    assert (await hub.raw("GET", f"/registrations/a{VERSION}")).status_code == 404
    assert [one["registrationId"] async for one in hub.service.registrations("line")] == ["b"]
    await hub.service.delete_enrollment("line", group=True)
    assert (await hub.raw("GET", f"/registrations/b{VERSION}")).status_code == 404
    assert len(await hub.service.devices()) == 2


async def bulk(hub: RunningHub, mode: str, *enrollments: Any) -> Any:
    body = {"mode": mode, "enrollments": list(enrollments)}
    return await hub.raw("POST", f"/enrollments{VERSION}", body=body)


async def test_many_enrollments_in_one_call_each_on_its_own(hub: RunningHub) -> None:
    a, b = symmetric(*KEYS, registrationId="a"), symmetric(*KEYS, registrationId="b")
    assert (await bulk(hub, "create", a, b)).json() == {"errors": [], "isSuccessful": True}
    again = (await bulk(hub, "create", symmetric(registrationId="c"), a)).json()
    assert not again["isSuccessful"]
    (error,) = again["errors"]
    assert (error["registrationId"], error["errorCode"]) == ("a", 409001)
    off = {**a, "provisioningStatus": "disabled"}
    assert (await bulk(hub, "update", off)).json()["isSuccessful"]
    assert (await hub.service.enrollment("a"))["provisioningStatus"] == "disabled"
    stale = (await bulk(hub, "updateIfMatchETag", {**a, "etag": "old"})).json()
    assert stale["errors"][0]["errorCode"] == 412001
    assert (await bulk(hub, "delete", {"registrationId": "a"}, {"registrationId": "b"})).json()[
        "isSuccessful"
    ]
    assert [one["registrationId"] async for one in hub.service.enrollments()] == ["c"]
    assert (await bulk(hub, "merge", a)).status_code == 400
    assert (await bulk(hub, "create")).status_code == 400
    assert (await bulk(hub, "create", *[a] * 11)).status_code == 400


async def test_errors_have_the_shape_of_the_provisioning_service(hub: RunningHub) -> None:
    body = (await hub.raw("GET", f"/enrollments/nobody{VERSION}")).json()
    assert set(body) == {"errorCode", "trackingId", "message", "timestampUtc"}
    assert body["errorCode"] == 404001
    with pytest.raises(InvalidInput) as caught:
        await hub.service.put_enrollment("one", {"attestation": {"type": "secret"}})
    assert caught.value.fields["path"] == "attestation.type"
    with pytest.raises(Unsupported, match="tpm"):
        await hub.service.put_enrollment("one", {"attestation": {"type": "tpm"}})


async def test_devices_can_be_assigned_to_this_hub_only(hub: RunningHub) -> None:
    with pytest.raises(InvalidInput, match="none of these hubs") as caught:
        await hub.service.put_enrollment("one", symmetric(iotHubs=["other.example"]))
    assert caught.value.fields["path"] == "iotHubs"
    made = await hub.service.put_enrollment("one", symmetric(iotHubHostName="LOCALHOST"))
    assert made["iotHubs"] == ["LOCALHOST"]


@pytest.mark.parametrize(
    ("policy", "read", "write"),
    [
        ("iothubowner", 200, 200),
        ("provisioningserviceowner", 200, 200),
        ("registryReadWrite", 403, 403),
        ("service", 403, 403),
    ],
)
async def test_only_the_owners_of_provisioning_may_enrol(
    hub: RunningHub, policy: str, read: int, write: int
) -> None:
    token = hub.token(policy)
    put = await hub.raw("PUT", f"/enrollments/one{VERSION}", token, body=symmetric())
    keys = await hub.raw("POST", f"/enrollments/one/attestationmechanism{VERSION}", token)
    got = await hub.raw("GET", f"/provisioning{VERSION}", token)
    assert (put.status_code, keys.status_code, got.status_code) == (write, write, read)
    assert (await hub.raw("GET", f"/enrollments/one{VERSION}", "")).status_code == 401


async def test_the_provisioning_owner_has_no_right_at_the_hub(hub: RunningHub) -> None:
    token = hub.token("provisioningserviceowner")
    assert (await hub.raw("GET", "/devices?api-version=2021-04-12", token)).status_code == 403


async def test_the_path_that_nodes_client_spells_differently_works(hub: RunningHub) -> None:
    await hub.service.put_enrollment("line", symmetric(), group=True)
    answer = await hub.raw("POST", "/enrollmentgroups/line/attestationmechanism")
    assert answer.json() == await hub.service.enrollment_attestation("line", group=True)
