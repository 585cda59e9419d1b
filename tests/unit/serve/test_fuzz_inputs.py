"""Anything a caller, a sender or a twin may say is understood or refused by an error of ours."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from skerry.contract.message import Message
from skerry.errors import SkerryError
from skerry.protocol.claims import CLAIM, redeemed
from skerry.serve.answer import Settings
from skerry.serve.desired import PROPERTIES, ModuleSettings, apply_desired
from skerry.serve.module_messages import images_of_message, source_of
from skerry.serve.multipart import parse_multipart
from skerry.serve.protocol import content_kind, images_of_json

TEXTS = st.text(max_size=30)
ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
ANYTHING = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)
# Documents that come near to what is asked for.
IMAGES = st.fixed_dictionaries({}, optional=dict.fromkeys(("image", "images", "input"), ANYTHING))
FORM_PIECES = st.sampled_from(
    [b"--b", b"--b--", b"\r\n", b"\n", b'Content-Disposition: form-data; name="a"', b"\r\n\r\n", b": "]
)
FORM_KINDS = st.sampled_from([f"multipart/form-data{more}" for more in ("; boundary=b", "", "; boundary=")])
TWINS = st.dictionaries(st.sampled_from(sorted(PROPERTIES)), ANYTHING, max_size=4)
KINDS = st.sampled_from(["", "application/json", "multipart/form-data", "image/jpeg", "text/html"]) | TEXTS


@given(document=IMAGES | ANYTHING)
def test_json_holds_images_or_is_refused(document: Any) -> None:
    with contextlib.suppress(SkerryError):
        images = images_of_json(json.dumps(document).encode())
        assert images
        assert all(isinstance(data, bytes) for data in images.values())


@given(body=st.binary(max_size=200), kind=KINDS)
def test_a_message_holds_images_or_is_refused(body: bytes, kind: str) -> None:
    message = Message(body, {"source": None}, {"contentType": kind})
    assert source_of(message) == ""
    with contextlib.suppress(SkerryError):
        assert images_of_message(message)


@given(kind=TEXTS)
def test_a_content_type_is_known_or_refused(kind: str) -> None:
    with contextlib.suppress(SkerryError):
        assert content_kind(kind) in ("multipart", "json", "image")


@given(pieces=st.lists(FORM_PIECES | st.binary(max_size=10), max_size=20), kind=FORM_KINDS)
def test_a_form_is_read_or_refused(pieces: list[bytes], kind: str) -> None:
    with contextlib.suppress(SkerryError):
        parse_multipart(b"".join(pieces), kind)


@given(
    desired=st.dictionaries(st.sampled_from(sorted(PROPERTIES)), ANYTHING, max_size=4), version=st.integers()
)
def test_a_twin_is_applied_whole_or_not_at_all_and_every_property_acknowledged(
    desired: dict[str, Any], version: int
) -> None:
    defaults = ModuleSettings(Settings())
    current = ModuleSettings(Settings(top_k=2, threshold=0.5))
    applied = apply_desired(current, defaults, desired, version)
    assert set(applied.reported) == set(desired)
    codes = {acknowledged["ac"] for acknowledged in applied.reported.values()}
    if codes <= {200}:
        again = apply_desired(applied.settings, defaults, desired, version)
        assert again.settings == applied.settings
    else:
        assert applied.settings == current
        assert codes <= {400, 424}
    for name, acknowledged in applied.reported.items():
        assert acknowledged["value"] == PROPERTIES[name].read(applied.settings)
        json.dumps(acknowledged, allow_nan=False)


@given(body=st.binary(max_size=100), claim=TEXTS)
def test_a_reference_without_a_store_is_refused(body: bytes, claim: str) -> None:
    with contextlib.suppress(SkerryError):
        redeemed(Message(body, {CLAIM: claim}), None)
        raise AssertionError("redeemed from nowhere")
