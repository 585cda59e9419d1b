"""Names, topics and keys of the provisioning service."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from skerry.contract.connect_name import render_username
from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.contract.provisioning import (
    Poll,
    ProvisioningName,
    Register,
    RegistrationId,
    Reply,
    derived_key,
    is_provisioning,
    parse_reply_topic,
    parse_request_topic,
    parse_username,
    poll_topic,
    register_topic,
    reply_topic,
)
from skerry.errors import InvalidInput, NotAuthenticated

IDS = st.from_regex(r"[A-Za-z0-9_.\-:]{0,20}[A-Za-z0-9\-]", fullmatch=True)
MEMBERS = st.from_regex(r"[A-Za-z0-9_.\-:]{1,20}", fullmatch=True)
SCOPES = st.from_regex(r"0ne[0-9A-F]{8}", fullmatch=True)
RIDS = st.from_regex(r"[A-Za-z0-9\-=?/]{1,40}", fullmatch=True)


@given(SCOPES, IDS, st.text(max_size=40))
def test_a_user_name_reads_back(scope: str, registration: str, agent: str) -> None:
    assume(agent.isprintable())
    name = ProvisioningName(scope, RegistrationId(registration))
    text = name.render(agent)
    assert is_provisioning(text, registration)
    assert parse_username(text, registration) == name
    # As the C SDK might and the identity service does: with a question mark.
    assert parse_username(text.replace("/api-", "/?api-"), registration) == name


@given(MEMBERS, MEMBERS, st.none() | MEMBERS | st.just("$edgeAgent"))
def test_no_connection_to_a_hub_is_taken_for_one(host: str, device: str, module: str | None) -> None:
    for name in (device, "registrations"):
        identity = Identity(DeviceId(name), None if module is None else ModuleId(module))
        assert not is_provisioning(render_username(host, identity, "x"), identity.client_id)


@pytest.mark.parametrize(
    ("text", "client_id"),
    [
        ("", "a"),
        ("0ne1/registrations/a", "a"),
        ("0ne1/registrations/a/", "a"),
        ("0ne1/registrations/a/ClientVersion=1", "a"),
        ("0ne1/registrations/a/api-version=", "a"),
        ("0ne1/registrations/a/api-version=2019-03-31", "b"),
        ("0ne1/registrations/a./api-version=2019-03-31", "a."),
        ("0ne1/registrations/a b/api-version=2019-03-31", "a b"),
        ("/registrations/a/api-version=2019-03-31", "a"),
        ("a%2f/registrations/a/api-version=2019-03-31", "a"),
        ("0ne1/registrations/a/api-version=" + "1" * 5000, "a"),
    ],
)
def test_other_user_names_are_refused(text: str, client_id: str) -> None:
    with pytest.raises(NotAuthenticated):
        parse_username(text, client_id)


@given(st.text())
def test_any_user_name_is_a_name_or_refused(text: str) -> None:
    is_provisioning(text, text)
    with pytest.raises(NotAuthenticated):
        parse_username(text, "client")


@given(RIDS, st.text(max_size=30).filter(str.isprintable))
def test_requests_and_replies_read_back(rid: str, operation: str) -> None:
    assert parse_request_topic(register_topic(rid)) == Register(rid)
    assert parse_request_topic(poll_topic(rid, operation)) == Poll(rid, operation)
    for reply in (Reply(200, rid), Reply(202, rid, 3), Reply(503, rid, 10)):
        topic = reply_topic(reply.status, reply.rid, reply.retry_after_s)
        assert parse_reply_topic(topic) == reply
        assert topic.count("$") == 2
        assert topic.split("/?", 1)[1].startswith("$rid=")


@given(st.text(max_size=60))
def test_any_topic_is_known_or_refused(rest: str) -> None:
    for start in ("", "$dps/registrations/PUT/iotdps-register/?$rid=", "$dps/registrations/res/"):
        for parse in (parse_request_topic, parse_reply_topic):
            try:
                parsed = parse(start + rest)
            except InvalidInput:
                continue
            assert parsed.rid


@pytest.mark.parametrize(
    "topic",
    [
        "$dps/registrations/PUT/iotdps-register/",
        "$dps/registrations/PUT/iotdps-register/?$rid=",
        "$dps/registrations/PUT/iotdps-register/?rid=1",
        "$dps/registrations/PUT/iotdps-register/?$rid=a$b",
        "$dps/registrations/GET/iotdps-register/?$rid=1",
        "$iothub/twin/GET/?$rid=1",
        "devices/d/messages/events/",
    ],
)
def test_other_topics_are_refused(topic: str) -> None:
    with pytest.raises(InvalidInput):
        parse_request_topic(topic)


@pytest.mark.parametrize("text", ["", "a_", "a.", "a:", "a b", "a/b", "ä", "x" * 129])
def test_illegal_registration_ids_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        RegistrationId(text)
    assert caught.value.fields["field"] == "registrationId"


def test_the_longest_and_the_shortest_registration_id_are_legal() -> None:
    assert RegistrationId("-") == "-"
    assert len(RegistrationId("x" * 128)) == 128


def test_a_derived_key_is_as_microsoft_documents_it() -> None:
    """The example of the page "symmetric key attestation": its key, its registration id, its result."""
    group = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw=="
    device = "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc="
    assert derived_key(group, "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6") == device


@given(st.binary(min_size=16, max_size=64), IDS, IDS)
def test_each_device_of_a_group_has_a_key_of_its_own(key: bytes, one: str, other: str) -> None:
    group = base64.b64encode(key).decode()
    expected = base64.b64encode(hmac.new(key, one.encode(), hashlib.sha256).digest()).decode()
    assert derived_key(group, one) == expected
    assert (derived_key(group, other) == expected) is (one == other)
