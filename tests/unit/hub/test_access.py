"""Who may do what, over HTTPS and MQTT."""

import base64

import pytest

from skerry.contract.names import Identity
from skerry.protocol.tokens import FixedToken
from tests.unit.hub.running import RunningHub, connected, key_of, refused

OTHER_KEY = base64.b64encode(b"k" * 32).decode()


async def test_a_request_without_or_with_a_bad_token_is_not_authenticated(hub: RunningHub) -> None:
    owner = hub.token("iothubowner")
    answers = {
        "missing": await hub.raw("GET", "/devices", ""),
        "malformed": await hub.raw("GET", "/devices", "Bearer abc"),
        "expired": await hub.raw("GET", "/devices", hub.token("iothubowner", lifetime_s=-1)),
        "audience": await hub.raw("GET", "/devices", hub.token("iothubowner", audience="elsewhere")),
        "signature": await hub.raw("GET", "/devices", owner.replace("skn=iothubowner", "skn=service")),
        "policy": await hub.raw("GET", "/devices", owner.replace("skn=iothubowner", "skn=nobody")),
    }
    for reason, answer in answers.items():
        assert answer.status_code == 401, reason
        assert answer.headers["iothub-errorcode"] == "IotHubUnauthorizedAccess"
        assert answer.json()["reason"] == reason


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        ("iothubowner", {"read", "write", "twin", "events"}),
        ("registryRead", {"read"}),
        ("registryReadWrite", {"read", "write"}),
        ("service", {"twin", "events"}),
        ("device", set()),
    ],
)
async def test_each_policy_has_its_rights_and_no_others(
    hub: RunningHub, policy: str, allowed: set[str]
) -> None:
    await hub.service.create_device("dev")
    token = hub.token(policy)
    answers = {
        "read": await hub.raw("GET", "/devices/dev", token),
        "write": await hub.raw("PUT", "/devices/new", token, body={"deviceId": "new"}),
        "twin": await hub.raw("GET", "/twins/dev", token),
        "events": await hub.raw("GET", "/events/page?wait=0", token),
    }
    assert {name for name, answer in answers.items() if answer.status_code == 200} == allowed
    assert {answer.status_code for answer in answers.values()} <= {200, 403}


async def test_a_service_token_may_name_the_host_with_its_port(hub: RunningHub) -> None:
    audience = f"localhost:{hub.addresses.https_port}"
    assert (await hub.raw("GET", "/devices", hub.token("iothubowner", audience=audience))).status_code == 200


async def test_both_keys_of_a_device_connect(hub: RunningHub) -> None:
    document = await hub.service.create_device("dev")
    for key in ("primaryKey", "secondaryKey"):
        async with connected(hub.device(document, key)) as device:
            assert (await device.twin())["desired"] == {"$version": 1}


async def test_a_module_connects_with_its_own_key_only(hub: RunningHub) -> None:
    device = await hub.service.create_device("dev")
    module = await hub.service.create_module("dev", "mod")
    async with connected(hub.device(module)) as client:
        assert (await client.twin())["reported"] == {"$version": 1}
    assert await refused(hub.client_with_key(Identity.parse("dev/mod"), key_of(device)))


@pytest.mark.parametrize(("policy", "accepted"), [("device", True), ("service", False)])
async def test_only_a_policy_with_device_connect_stands_in_for_a_device(
    hub: RunningHub, policy: str, accepted: bool
) -> None:
    await hub.service.create_device("dev")
    client = hub.client_with_token(Identity.parse("dev"), FixedToken(hub.token(policy)))
    if not accepted:
        assert await refused(client)
        return
    async with connected(client):
        assert (await hub.service.device("dev"))["connectionState"] == "Connected"
    assert await refused(hub.client_with_token(Identity.parse("ghost"), FixedToken(hub.token(policy))))


async def test_unknown_devices_wrong_keys_and_expired_tokens_are_refused(
    hub: RunningHub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    document = await hub.service.create_device("dev")
    dev, key = Identity.parse("dev"), key_of(document)
    attempts = {
        "ghost is not registered": hub.client_with_key(Identity.parse("ghost"), key),
        "signature was not made with a key": hub.client_with_key(dev, OTHER_KEY),
        "token has expired": hub.client_with_key(dev, key, lifetime_s=-5),
    }
    for reason, client in attempts.items():
        caplog.clear()
        assert await refused(client)
        assert reason in caplog.text


async def test_a_disabled_device_and_its_modules_are_refused(hub: RunningHub) -> None:
    document = await hub.service.create_device("dev")
    module = await hub.service.create_module("dev", "mod")
    await hub.service.update_device({**document, "status": "disabled"})
    assert await refused(hub.device(document))
    assert await refused(hub.device(module))
    assert (await hub.raw("GET", "/devices/dev/modules", hub.device_token(document))).status_code == 401


async def test_keys_replaced_in_the_registry_stop_working(hub: RunningHub) -> None:
    document = await hub.service.create_device("dev")
    keys = {"symmetricKey": {"primaryKey": OTHER_KEY, "secondaryKey": OTHER_KEY}, "type": "sas"}
    await hub.service.update_device({**document, "authentication": keys})
    assert await refused(hub.device(document))
    async with connected(hub.client_with_key(Identity.parse("dev"), OTHER_KEY)) as device:
        assert device.connected


async def test_no_secret_reaches_the_log(hub: RunningHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    document = await hub.service.create_device("dev")
    async with connected(hub.device(document)) as device:
        await device.report({"a": 1})
    await refused(hub.client_with_key(Identity.parse("dev"), OTHER_KEY))
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("skerry"))
    assert "dev" in ours
    assert key_of(document) not in ours
    assert OTHER_KEY not in ours
    assert "sig=" not in ours
