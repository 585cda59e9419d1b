"""Topics read back on the other side, and nobody publishes as somebody else."""

import json
import pathlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.contract.names import DeviceId, Identity
from skerry.contract.topics import (
    C2D,
    ClientTopic,
    DesiredPatch,
    Input,
    MethodCall,
    MethodReply,
    ReportedPatch,
    Telemetry,
    TwinGet,
    TwinReply,
    c2d_filter,
    c2d_topic,
    desired_patch_topic,
    input_topic,
    inputs_filter,
    method_call_topic,
    method_reply_topic,
    parse_client_topic,
    parse_server_topic,
    parse_username,
    render_username,
    reported_patch_topic,
    telemetry_topic,
    twin_get_topic,
    twin_reply_topic,
)
from skerry.errors import InvalidInput, NotAllowed, NotAuthenticated

DEVICE = Identity.parse("d")
MODULE = Identity.parse("d/m")
RIDS = st.from_regex(r"[A-Za-z0-9\-]{1,40}", fullmatch=True)
BAGS = st.from_regex(r"([a-z%0-9.]{1,8}=[a-z%0-9]{0,8}(&[a-z]{1,3}=1)*)?", fullmatch=True)
VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (pathlib.Path(__file__).parents[2] / "vectors" / "contract_topics.json").read_text()
)


@pytest.mark.parametrize("vector", VECTORS["client"], ids=lambda v: v["topic"])
def test_client_topics_of_the_sdks(vector: dict[str, Any]) -> None:
    parsed = parse_client_topic(vector["topic"], Identity.parse(vector["sender"]))
    assert repr(parsed) == vector["means"]


@pytest.mark.parametrize("vector", VECTORS["server"], ids=lambda v: v["topic"])
def test_server_topics_of_the_contract(vector: dict[str, Any]) -> None:
    assert repr(parse_server_topic(vector["topic"])) == vector["means"]


@given(BAGS, RIDS, st.integers(-999, 9999))
def test_client_topics_read_back(bag: str, rid: str, status: int) -> None:
    sent: list[tuple[str, ClientTopic]] = [
        (telemetry_topic(MODULE, bag), Telemetry(bag)),
        (twin_get_topic(rid), TwinGet(rid)),
        (reported_patch_topic(rid), ReportedPatch(rid)),
        (method_reply_topic(status, rid), MethodReply(status, rid)),
    ]
    assert [parse_client_topic(topic, MODULE) for topic, _ in sent] == [value for _, value in sent]


@given(BAGS, RIDS, st.integers(100, 599), st.none() | st.integers(0, 2**52))
def test_server_topics_read_back(bag: str, rid: str, status: int, version: int | None) -> None:
    assert parse_server_topic(c2d_topic(DEVICE.device, bag)) == C2D(bag)
    assert parse_server_topic(input_topic(MODULE, "in", bag)) == Input("in", bag)
    assert parse_server_topic(method_call_topic("reboot", rid)) == MethodCall("reboot", rid)
    assert parse_server_topic(twin_reply_topic(status, rid, version)) == TwinReply(status, rid, version)
    assert parse_server_topic(desired_patch_topic(version or 0)) == DesiredPatch(version or 0)


@pytest.mark.parametrize(
    "topic",
    [
        "devices/e/messages/events/",
        "devices/d/modules/m/messages/events/",
        "devices/d/modules/$edgeHub/messages/events",
    ],
)
def test_another_identitys_telemetry_topic_is_not_allowed(topic: str) -> None:
    with pytest.raises(NotAllowed):
        parse_client_topic(topic, DEVICE)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "devices/d",
        "devices/d/messages/eventsx",
        "devices/d/x/messages/events/",
        "devices/d/messages/devicebound/",
        "$iothub/twin/GET/",
        "$iothub/twin/GET/?$rid=",
        "$iothub/twin/GET/?$rid=" + "r" * 300,
        "$iothub/methods/res/abc/?$rid=1",
        "$iothub/twin/PATCH/properties/desired/?$rid=1",
        "telemetry",
        "devices/d/messages/events/" + "x" * 70_000,
    ],
)
def test_topics_that_mean_nothing_are_refused(topic: str) -> None:
    with pytest.raises(InvalidInput):
        parse_client_topic(topic, DEVICE)


PIECES = st.sampled_from(
    [
        "devices",
        "d",
        "m",
        "modules",
        "messages",
        "events",
        "inputs",
        "$iothub",
        "twin",
        "res",
        "?$rid=1",
        "200",
        "GET",
    ]
)


@given(st.text(max_size=40) | st.lists(PIECES | st.text(max_size=4), max_size=8).map("/".join))
def test_any_text_is_a_topic_or_our_error(text: str) -> None:
    for sender in (DEVICE, MODULE):
        with suppress(InvalidInput, NotAllowed):
            parse_client_topic(text, sender)
    with suppress(InvalidInput):
        parse_server_topic(text)


@pytest.mark.parametrize("name", ["", "a/b", "a+", "#"])
def test_names_that_break_a_topic_cannot_be_sent(name: str) -> None:
    with pytest.raises(InvalidInput):
        method_call_topic(name, "1")
    with pytest.raises(InvalidInput):
        input_topic(MODULE, name, "")
    with pytest.raises(InvalidInput):
        input_topic(DEVICE, "in", "")


def test_filters_are_the_topics_own() -> None:
    assert c2d_filter(DeviceId("d")) == "devices/d/messages/devicebound/#"
    assert inputs_filter(MODULE) == "devices/d/modules/m/inputs/#"


@pytest.mark.parametrize("vector", VECTORS["usernames"], ids=lambda v: v["username"])
def test_user_names_of_the_sdks(vector: dict[str, Any]) -> None:
    name = parse_username(vector["username"], vector["client_id"])
    assert (name.host, name.identity.client_id, name.api_version) == (
        "hub.example",
        vector["client_id"],
        vector["api_version"],
    )


@pytest.mark.parametrize(
    ("username", "client_id"),
    [
        ("hub/d/?api-version=1", "e"),
        ("hub/d/m/?api-version=1", "d"),
        ("hub/d/?api-version=1", "d/m"),
        ("hub/d/", "d"),
        ("hub/d/?DeviceClientType=x", "d"),
        ("/d/?api-version=1", "d"),
        ("", "d"),
        ("hub/d/?api-version=1", ""),
        ("hub/d/?api-version=1&x=" + "y" * 5000, "d"),
    ],
)
def test_user_names_that_do_not_fit_the_client_id_are_refused(username: str, client_id: str) -> None:
    with pytest.raises(NotAuthenticated):
        parse_username(username, client_id)


@given(st.text(max_size=30).filter(lambda t: t.isprintable()), st.sampled_from([DEVICE, MODULE]))
def test_our_user_name_reads_back(agent: str, identity: Identity) -> None:
    name = parse_username(render_username("hub", identity, agent), identity.client_id)
    assert (name.host, name.identity, name.query["DeviceClientType"]) == ("hub", identity, agent)


@given(st.text(max_size=60), st.text(max_size=20) | st.just("d"))
def test_any_text_is_a_user_name_or_not_authenticated(username: str, client_id: str) -> None:
    with pytest.raises(NotAuthenticated):
        parse_username(username, client_id)
