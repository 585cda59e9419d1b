from __future__ import annotations

import pytest

from skerry.contract.chain import PREVIOUS_PROPERTY, SEQUENCE_PROPERTY, digest, link_of, properties_digest
from skerry.contract.message import Message, decode_bag, encode_bag

PROPERTIES = {"kind": "good", "flag": None, SEQUENCE_PROPERTY: "3", PREVIOUS_PROPERTY: "abc"}
SYSTEM = {"contentType": "image/jpeg", "creationTime": "2026-01-01"}


def own(
    body: bytes = b"body", system: dict[str, str] = SYSTEM, previous: str = "abc", **changes: str | None
) -> str:
    link = link_of(3, {**PROPERTIES, **changes, PREVIOUS_PROPERTY: previous}, system, body)
    assert link is not None
    return link.own


def test_a_link_is_of_what_the_sender_said() -> None:
    assert own() == digest("abc", 3, properties_digest(PROPERTIES, SYSTEM), b"body")
    properties, system = decode_bag(encode_bag(Message(b"", PROPERTIES, SYSTEM)))
    assert link_of(3, properties, {**system, "connectionDeviceId": "d"}, b"body") == link_of(
        3, PROPERTIES, SYSTEM, b"body"
    )


@pytest.mark.parametrize(
    "other",
    [
        own(body=b"bodz"),
        own(kind="bad"),
        own(flag=""),
        own(new="x"),
        own(system={"contentType": "text/plain"}),
        own(previous="abd"),
    ],
)
def test_whatever_is_altered_shows(other: str) -> None:
    assert other != own()


def test_what_is_in_no_chain_has_no_link() -> None:
    assert link_of(1, {}, {}, b"") is None
    assert link_of(1, {PREVIOUS_PROPERTY: ""}, {}, b"") is None
