"""What is asked for is understood wholly or refused by field."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.errors import InvalidInput
from skerry.serve.update.wish import Wish, parse_download, parse_wish

DIGEST = "sha256:" + "a" * 64
MD5 = base64.b64encode(hashlib.md5(b"x", usedforsecurity=False).digest()).decode()


def test_a_wish_names_package_address_and_archive() -> None:
    wish = parse_wish({"package": DIGEST, "url": "https://h/p.tar?sig=secret", "digest": DIGEST, "note": 1})
    assert wish == Wish(DIGEST, "https://h/p.tar?sig=secret", DIGEST)
    assert "secret" not in str(parse_wish({"url": "https://h/p.tar?sig=secret"}))


def test_a_new_signature_in_the_address_is_the_same_wish() -> None:
    one, other = (parse_wish({"package": DIGEST, "url": f"https://h/p?sig={n}"}) for n in (1, 2))
    assert one.key == other.key


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ("text", "model"),
        ({}, "model"),
        ({"package": "sha256:x"}, "package"),
        ({"package": 7}, "package"),
        ({"package": DIGEST, "digest": "a" * 64}, "digest"),
        ({"url": ""}, "url"),
        ({"url": "ftp://h/p"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "https://user:pw@h/p"}, "url"),
        ({"url": "https://h/a b"}, "url"),
        ({"url": "https://h/\r\nX: y"}, "url"),
        ({"url": "https://h:99999/p"}, "url"),
        ({"url": "https://[h/p"}, "url"),
        ({"url": "https:///p"}, "url"),
    ],
)
def test_nonsense_is_refused_by_field(document: object, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_wish(document)
    assert caught.value.fields["field"] == field
    assert "pw" not in str(caught.value.fields.get("value", ""))


def test_microsofts_three_properties_are_a_wish() -> None:
    wish = parse_download({"FileName": "m.zip", "DownloadUrl": "https://h/m.zip", "ContentMD5": MD5})
    assert (wish.file_name, wish.url, wish.md5) == ("m.zip", "https://h/m.zip", base64.b64decode(MD5))


@pytest.mark.parametrize("missing", ["FileName", "DownloadUrl", "ContentMD5"])
def test_of_microsofts_properties_the_missing_one_is_named(missing: str) -> None:
    document = {"FileName": "m.zip", "DownloadUrl": "https://h/m.zip", "ContentMD5": MD5, missing: None}
    with pytest.raises(InvalidInput, match=missing):
        parse_download(document)


@pytest.mark.parametrize("md5", ["?", "AAAA", "ä"])
def test_a_wrong_md5_is_named(md5: str) -> None:
    with pytest.raises(InvalidInput, match="ContentMD5"):
        parse_download({"FileName": "m.zip", "DownloadUrl": "https://h/m.zip", "ContentMD5": md5})


@given(st.dictionaries(st.sampled_from(["package", "url", "digest"]), st.text() | st.integers() | st.none()))
def test_anything_is_a_wish_or_invalid(document: dict[str, object]) -> None:
    try:
        wish = parse_wish(document)
    except InvalidInput:
        return
    assert wish.package or wish.url
