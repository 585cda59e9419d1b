"""Enrolments as documents."""

import base64
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.contract.enrollment import Enrollment, Reprovision, enrollment_json, parse_enrollment
from skerry.contract.names import DeviceId
from skerry.contract.provisioning import RegistrationId
from skerry.errors import InvalidInput, Unsupported

KEYS = st.just("") | st.binary(min_size=16, max_size=64).map(lambda key: base64.b64encode(key).decode())
DOCUMENTS = st.dictionaries(st.from_regex("[a-z]{1,8}", fullmatch=True), st.integers(0, 9) | st.text("ab"))
SYMMETRIC = {"attestation": {"type": "symmetricKey"}}
ENROLLMENTS = st.builds(
    Enrollment,
    id=st.just(RegistrationId("reg-1")),
    group=st.booleans(),
    keys=st.tuples(KEYS, KEYS),
    device_id=st.just(None) | st.just(DeviceId("cam")),
    iot_edge=st.booleans(),
    hubs=st.sampled_from([(), ("a",), ("a", "b")]),
    tags=DOCUMENTS,
    desired=DOCUMENTS,
    enabled=st.booleans(),
    reprovision=st.builds(Reprovision, st.booleans(), st.booleans()),
    allocation=st.sampled_from(["hashed", "geoLatency", "static"]),
    information=st.none() | DOCUMENTS,
)


@given(ENROLLMENTS)
def test_an_enrollment_reads_back(enrollment: Enrollment) -> None:
    if enrollment.group:
        enrollment = replace(enrollment, device_id=None)
    document = enrollment_json(enrollment, with_keys=True)
    assert parse_enrollment(document, "reg-1", group=enrollment.group) == enrollment
    hidden = enrollment_json(enrollment, with_keys=False)
    assert not any(key in str(hidden) + repr(enrollment) for key in enrollment.keys if key)
    assert parse_enrollment(hidden, "reg-1", group=enrollment.group) == replace(enrollment, keys=("", ""))


def test_the_least_document_gives_azures_defaults() -> None:
    expected = Enrollment(RegistrationId("reg-1"), group=False)
    assert parse_enrollment(SYMMETRIC, "reg-1", group=False) == expected
    assert expected.enabled
    assert expected.reprovision == Reprovision(update_assignment=True, keep_data=True)


def test_the_names_by_which_a_collection_comes_back_are_ignored() -> None:
    twin = {"tags": {"a": 1, "$version": 2}, "properties": {"desired": {"b": 1, "$metadata": {}}}}
    parsed = parse_enrollment({**SYMMETRIC, "initialTwin": twin}, "reg-1", group=True)
    assert (parsed.tags, parsed.desired) == ({"a": 1}, {"b": 1})


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"registrationId": "other"}, "registrationId"),
        ({"attestation": None}, "attestation"),
        ({"attestation": {"type": "password"}}, "attestation.type"),
        ({"provisioningStatus": "maybe"}, "provisioningStatus"),
        ({"allocationPolicy": "random"}, "allocationPolicy"),
        ({"capabilities": {"iotEdge": 1}}, "capabilities.iotEdge"),
        ({"reprovisionPolicy": {"migrateDeviceData": "yes"}}, "reprovisionPolicy.migrateDeviceData"),
        ({"initialTwin": {"tags": []}}, "initialTwin.tags"),
        ({"initialTwin": {"tags": {"a.b": 1}}}, "tags.a.b"),
        ({"initialTwin": {"properties": {"desired": {"$x": 1}}}}, "properties.desired.$x"),
        ({"iotHubs": "hub"}, "iotHubs"),
        ({"iotHubs": [1]}, "iotHubs[0]"),
    ],
)
def test_a_broken_rule_is_named_by_its_path(more: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_enrollment({**SYMMETRIC, **more}, "reg-1", group=False)
    assert caught.value.fields["path"] == path


@pytest.mark.parametrize("key", ["not base64 !", base64.b64encode(b"short").decode(), 7])
def test_a_bad_key_is_refused_and_not_shown(key: object) -> None:
    document = {"attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": key}}}
    with pytest.raises(InvalidInput) as caught:
        parse_enrollment(document, "reg-1", group=False)
    assert caught.value.fields["path"] == "attestation.symmetricKey.primaryKey"
    assert str(key) not in f"{caught.value} {caught.value.fields}"


@pytest.mark.parametrize(
    "more",
    [{"attestation": {"type": "tpm"}}, {"allocationPolicy": "custom"}],
)
def test_what_this_build_does_not_do_says_so(more: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        parse_enrollment({**SYMMETRIC, **more}, "reg-1", group=False)
