"""The workload API's documents and paths, as the module SDKs use them."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.contract import workload
from skerry.contract.workload import ServerCertificateRequest, SignRequest
from skerry.errors import InvalidInput


@given(st.binary(min_size=1, max_size=100))
def test_sign_request_and_answer_read_back(data: bytes) -> None:
    assert SignRequest.parse(SignRequest(data).to_json()) == SignRequest(data)
    assert workload.parse_sign_response(workload.sign_response(data)) == data


def test_certificates_travel_as_pem_text() -> None:
    bundle = workload.trust_bundle_response("-----BEGIN")
    assert bundle == {"certificate": "-----BEGIN"}
    assert workload.parse_trust_bundle_response(bundle) == "-----BEGIN"
    request = ServerCertificateRequest("edgehub", "2027-01-01T00:00:00Z")
    assert ServerCertificateRequest.parse(request.to_json()) == request
    assert workload.server_certificate_response("C", "K", "T") == {
        "privateKey": {"type": "key", "bytes": "K"},
        "certificate": "C",
        "expiration": "T",
    }


def test_paths_encode_what_they_hold() -> None:
    assert workload.sign_path("$edgeHub", "1/2") == "/modules/%24edgeHub/genid/1%2F2/sign"
    assert workload.with_version(workload.TRUST_BUNDLE_PATH) == "/trust-bundle?api-version=2020-07-07"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"keyId": "x"}, "keyId"),
        ({"algo": "MD5"}, "algo"),
        ({"data": "not base64"}, "data"),
        ({"data": ""}, "data"),
        ({"data": None}, "data"),
        ({"data": base64.b64encode(b"x" * 9000).decode()}, "data"),
    ],
)
def test_illegal_sign_requests_are_refused_by_path(change: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        SignRequest.parse({**SignRequest(b"x").to_json(), **change})
    assert caught.value.fields["path"] == path
