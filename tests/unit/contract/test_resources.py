"""The service API's documents, and what a service may ask for."""

import base64
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry import errors
from skerry.contract.names import DeviceId, ModuleId
from skerry.contract.resources import (
    NEVER,
    DeviceRecord,
    DeviceRequest,
    ModuleRecord,
    SymmetricKeys,
    Thumbprints,
    device_json,
    edge_scope,
    error_body,
    error_code,
    module_json,
    parse_device_request,
    parse_module_request,
    twin_json,
)
from skerry.contract.twin import Twin, empty_section

KEY = base64.b64encode(b"k" * 32).decode()
PRIMARY_KEY = "authentication.symmetricKey.primaryKey"
PRIMARY_THUMBPRINT = "authentication.x509Thumbprint.primaryThumbprint"
KEYS = SymmetricKeys(KEY, KEY)
DEVICE = DeviceRecord(
    DeviceId("d"), "g1", "e1", keys=KEYS, iot_edge=True, device_scope="ms-azure-iot-edge://d-g1"
)
MODULE = ModuleRecord(DeviceId("d"), ModuleId("m"), "g2", "e2", managed_by="iotEdge", keys=KEYS)


def test_a_device_document_reads_back_as_the_request_for_it() -> None:
    assert parse_device_request(device_json(DEVICE, connected=True), "d") == DeviceRequest(
        DeviceId("d"),
        "enabled",
        None,
        "sas",
        KEY,
        KEY,
        Thumbprints(),
        True,
        "ms-azure-iot-edge://d-g1",
        (),
        "e1",
    )
    assert edge_scope(DEVICE.device_id, "g1") == DEVICE.device_scope


def test_a_module_document_reads_back_as_the_request_for_it() -> None:
    request = parse_module_request(module_json(MODULE, connected=False), "d", "m")
    assert (request.module_id, request.managed_by, request.primary_key) == ("m", "iotEdge", KEY)


def test_documents_carry_azures_members() -> None:
    document = device_json(DEVICE, connected=True, c2d_count=3)
    assert document["connectionState"] == "Connected"
    assert document["cloudToDeviceMessageCount"] == 3
    assert document["lastActivityTime"] == NEVER
    assert document["capabilities"] == {"iotEdge": True}
    assert KEY not in repr(DEVICE) + repr(MODULE) + repr(parse_device_request(document, "d"))


def test_twins_of_devices_have_tags_and_twins_of_modules_a_module_id() -> None:
    twin = Twin({}, empty_section(NEVER), empty_section(NEVER), 1, "t")
    device = twin_json(replace(DEVICE, model_id="dtmi:a;1"), twin, True)
    module = twin_json(MODULE, twin, False, configurations={"c": {"status": "Applied"}})
    assert (device["tags"], device["etag"], device["deviceEtag"], device["modelId"]) == (
        {},
        "t",
        "e1",
        "dtmi:a;1",
    )
    assert "tags" not in module
    assert (module["moduleId"], module["configurations"]["c"]["status"]) == ("m", "Applied")
    assert device["properties"]["desired"]["$version"] == 1


@pytest.mark.parametrize("key", [None, ""])
def test_absent_null_or_empty_keys_are_for_the_hub_to_make(key: str | None) -> None:
    document = {"deviceId": "d", "authentication": {"symmetricKey": {"primaryKey": key}}}
    request = parse_device_request(document, "d")
    assert (request.primary_key, request.secondary_key, request.auth_type) == (None, None, "sas")


def test_thumbprints_without_a_type_mean_self_signed() -> None:
    document = {"authentication": {"x509Thumbprint": {"primaryThumbprint": "A" * 40}}}
    assert parse_device_request(document, "d").auth_type == "selfSigned"


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], ""),
        ({"deviceId": "e"}, "deviceId"),
        ({"status": "off"}, "status"),
        ({"statusReason": "x" * 129}, "statusReason"),
        ({"authentication": {"type": "tpm"}}, "authentication.type"),
        ({"authentication": {"symmetricKey": {"primaryKey": "hush"}}}, PRIMARY_KEY),
        ({"authentication": {"symmetricKey": {"primaryKey": "h u s h"}}}, PRIMARY_KEY),
        ({"authentication": {"x509Thumbprint": {"primaryThumbprint": "x"}}}, PRIMARY_THUMBPRINT),
        ({"capabilities": {"iotEdge": "yes"}}, "capabilities.iotEdge"),
        ({"parentScopes": ["a", 1]}, "parentScopes[1]"),
        ({"deviceScope": 1}, "deviceScope"),
    ],
)
def test_illegal_devices_are_refused_by_path(document: Any, path: str) -> None:
    with pytest.raises(errors.InvalidInput) as caught:
        parse_device_request(document, "d")
    assert caught.value.fields["path"] == path
    assert "hush" not in repr(caught.value.fields)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda c: (
        st.lists(c, max_size=3)
        | st.dictionaries(
            st.sampled_from(["authentication", "symmetricKey", "primaryKey", "type", "x509Thumbprint"]), c
        )
    ),
)


@given(JSON)
def test_any_json_is_a_request_or_invalid_input(document: Any) -> None:
    for parse in (
        lambda: parse_device_request(document, "d"),
        lambda: parse_module_request(document, "d", "m"),
    ):
        try:
            parse()
        except errors.InvalidInput as exc:
            fields = exc.fields
        else:
            continue
        assert "path" in fields


@pytest.mark.parametrize(
    ("error", "noun", "expected"),
    [
        (errors.InvalidInput("x"), "Device", (400, "ArgumentInvalid")),
        (errors.NotAuthenticated("x"), "Device", (401, "IotHubUnauthorizedAccess")),
        (errors.NotFound("x"), "Module", (404, "ModuleNotFound")),
        (errors.NotFound("x", code_name="DeviceNotOnline"), "Device", (404, "DeviceNotOnline")),
        (errors.AlreadyExists("x"), "Device", (409, "DeviceAlreadyExists")),
        (errors.AlreadyExists("x"), "Module", (409, "ModuleAlreadyExistsOnDevice")),
        (errors.PreconditionFailed("x"), "Device", (412, "PreconditionFailed")),
        (errors.TooLarge("x"), "Device", (413, "MessageTooLarge")),
        (errors.Throttled("x"), "Device", (429, "ThrottlingException")),
        (errors.TimedOut("x"), "Device", (504, "GatewayTimeout")),
        (errors.Damaged("x"), "Device", (500, "ServerError")),
    ],
)
def test_errors_have_azures_status_and_name(
    error: errors.SkerryError, noun: str, expected: tuple[int, str]
) -> None:
    assert error_code(error, noun) == expected


def test_error_body_is_what_node_splits() -> None:
    assert error_body("DeviceNotFound", "no such device", "T1", "now") == {
        "Message": "ErrorCode:DeviceNotFound;no such device",
        "ExceptionMessage": "Tracking ID:T1-TimeStamp:now",
    }
