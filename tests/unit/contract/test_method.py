"""Method requests keep their limits and read back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.contract.method import METHOD_PAYLOAD_BYTES_MAX, MethodRequest, MethodResponse
from skerry.errors import InvalidInput, TooLarge

PAYLOADS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda c: st.lists(c, max_size=2)
)


@given(PAYLOADS, st.integers(5, 300), st.integers(0, 300))
def test_requests_and_responses_read_back(payload: Any, response_s: int, connect_s: int) -> None:
    request = MethodRequest("reboot", payload, response_s, connect_s)
    assert MethodRequest.parse(request.to_json()) == request
    response = MethodResponse(200, payload)
    assert MethodResponse.parse(response.to_json()) == response


def test_missing_members_have_azures_defaults() -> None:
    assert MethodRequest.parse({"methodName": "m", "responseTimeoutInSeconds": None}) == MethodRequest(
        "m", None, 30, 0
    )


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], ""),
        ({}, "methodName"),
        ({"methodName": 1}, "methodName"),
        ({"methodName": "a/b"}, "methodName"),
        ({"methodName": "a#"}, "methodName"),
        ({"methodName": "x" * 101}, "methodName"),
        ({"methodName": "m", "responseTimeoutInSeconds": 4}, "responseTimeoutInSeconds"),
        ({"methodName": "m", "responseTimeoutInSeconds": "30"}, "responseTimeoutInSeconds"),
        ({"methodName": "m", "responseTimeoutInSeconds": True}, "responseTimeoutInSeconds"),
        ({"methodName": "m", "responseTimeoutInSeconds": float("nan")}, "responseTimeoutInSeconds"),
        ({"methodName": "m", "connectTimeoutInSeconds": 301}, "connectTimeoutInSeconds"),
    ],
)
def test_illegal_requests_are_refused_by_path(document: Any, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        MethodRequest.parse(document)
    assert caught.value.fields["path"] == path


def test_a_payload_over_the_bound_is_too_large() -> None:
    MethodRequest("m", "x" * (METHOD_PAYLOAD_BYTES_MAX - 2))
    with pytest.raises(TooLarge):
        MethodRequest("m", "x" * (METHOD_PAYLOAD_BYTES_MAX - 1))


@pytest.mark.parametrize("document", [None, {}, {"status": "200"}, {"status": True}])
def test_a_response_needs_an_integer_status(document: Any) -> None:
    with pytest.raises(InvalidInput):
        MethodResponse.parse(document)
