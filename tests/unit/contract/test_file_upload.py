"""Blob names and the messages of a file upload."""

from __future__ import annotations

import pytest

from skerry.contract.file_upload import BlobName, Outcome, credentials, parse_outcome, parse_request
from skerry.contract.names import DeviceId
from skerry.errors import InvalidInput

DEV = DeviceId("dev")


@pytest.mark.parametrize("name", ["a.jpg", "a/b/c.jpg", "hö her", "100%", "a?b#c", "x" * 1024])
def test_a_name_is_kept_and_its_path_can_be_sent(name: str) -> None:
    blob = BlobName(DEV, name)
    assert BlobName.parse(str(blob)) == blob
    assert blob.path.isascii()
    assert not {"?", "#", " "} & set(blob.path)


@pytest.mark.parametrize("name", ["", "/a", "a//b", "a/", "..", "a/../b", "./a", "a\\b", "a\n", "x" * 1025])
def test_a_name_that_could_mean_something_else_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        BlobName(DEV, name)


@pytest.mark.parametrize("document", [{}, {"blobName": 1}, {"blobName": "../other/x"}])
def test_a_request_needs_a_legal_name(document: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        parse_request(document, DEV)


def test_credentials_make_a_url_by_joining_their_parts() -> None:
    told = credentials(BlobName(DEV, "a.jpg"), "c-1", "hub:8443", "2026-01-01T00:00:00Z", "a+/=")
    assert (told["hostName"], told["containerName"], told["blobName"]) == ("hub:8443", "uploads", "dev/a.jpg")
    assert told["sasToken"].startswith("?sv=")
    assert told["sasToken"].endswith("&sig=a%2B%2F%3D")


def test_an_outcome_names_its_upload_in_the_body_or_the_path() -> None:
    assert parse_outcome({"correlationId": "c", "isSuccess": True}) == Outcome("c", True)
    assert parse_outcome({"isSuccess": False, "statusDescription": "no"}, "p") == Outcome("p", False, "no")
    for document in ({"isSuccess": True}, {"correlationId": "c"}, {"correlationId": "c", "isSuccess": "yes"}):
        with pytest.raises(InvalidInput):
            parse_outcome(document)
