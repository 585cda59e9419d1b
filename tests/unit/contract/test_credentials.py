"""Connection strings read back; SAS tokens verify, and nothing changed does."""

import base64
import json
import pathlib
import string
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from skerry.contract.credentials import (
    ConnectionString,
    SasToken,
    key_signer,
    make_token,
    verify_token,
)
from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.errors import InvalidInput, NotAuthenticated

VECTORS: list[dict[str, Any]] = json.loads(
    (pathlib.Path(__file__).parents[2] / "vectors" / "contract_sas.json").read_text()
)
KEY = base64.b64encode(b"k" * 32).decode()
OTHER_KEY = base64.b64encode(b"o" * 32).decode()
RESOURCE = "hub.example/devices/cam-1"
NOW = 1_000_000
IDS = st.from_regex(r"[A-Za-z0-9_.\-:]{1,20}", fullmatch=True)
HOSTS = st.from_regex(r"[a-z0-9.\-]{1,30}(:[0-9]{1,5})?", fullmatch=True)
KEYS = st.binary(min_size=1, max_size=64).map(lambda raw: base64.b64encode(raw).decode())


@st.composite
def device_strings(draw: st.DrawFn) -> ConnectionString:
    signature = make_token("r", key_signer(KEY), NOW)
    key, sas, x509 = draw(
        st.tuples(KEYS, st.none(), st.just(False))
        | st.just((None, signature, False))
        | st.just((None, None, True))
    )
    return ConnectionString(
        host_name=draw(HOSTS),
        device_id=DeviceId(draw(IDS)),
        module_id=draw(st.none() | IDS.map(ModuleId)),
        shared_access_key=key,
        shared_access_signature=sas,
        gateway_host_name=draw(st.none() | HOSTS),
        x509=x509,
    )


@given(device_strings())
def test_connection_string_reads_back(string: ConnectionString) -> None:
    assert ConnectionString.parse(string.render()) == string
    assert string.identity == Identity(string.identity.device, string.module_id)


def test_service_string_reads_back_and_has_no_identity() -> None:
    text = f"HostName=hub;SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}"
    string = ConnectionString.parse(text)
    assert string.render() == text
    with pytest.raises(InvalidInput):
        _ = string.identity


@given(device_strings())
def test_connection_string_hides_its_secret(string: ConnectionString) -> None:
    for secret in filter(None, [string.shared_access_key, string.shared_access_signature]):
        if len(secret) > 20:
            assert secret not in repr(string) + str(string)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "HostName=h",
        "HostName=h;DeviceId=d",
        f"DeviceId=d;SharedAccessKey={KEY}",
        f"HostName=h;SharedAccessKey={KEY}",
        f"HostName=h;ModuleId=m;SharedAccessKeyName=p;SharedAccessKey={KEY}",
        f"HostName=h;DeviceId=d;DeviceId=e;SharedAccessKey={KEY}",
        f"HostName=h;DeviceId=d;SharedAccessKey={KEY};x509=true",
        f"HostName=h;DeviceId=d;SharedAccessKey={KEY};Colour=red",
        f"hostname=h;DeviceId=d;SharedAccessKey={KEY}",
        f"HostName=h i;DeviceId=d;SharedAccessKey={KEY}",
        "HostName=h;DeviceId=d;SharedAccessKey=not base64!",
        "HostName=h;DeviceId=d;SharedAccessKey=",
        "HostName=h;DeviceId=d/e;SharedAccessKey=" + KEY,
        "HostName=h;DeviceId=d;SharedAccessSignature=x",
        "x" * 5000,
    ],
)
def test_incomplete_or_contradictory_connection_strings_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ConnectionString.parse(text)
    assert KEY not in str(caught.value) + repr(caught.value.fields)


@pytest.mark.parametrize("vector", VECTORS, ids=[v["name"] for v in VECTORS])
def test_tokens_as_clients_write_them(vector: dict[str, Any]) -> None:
    token = SasToken.parse(vector["token"])
    assert (token.resource, token.expiry, token.policy) == (
        vector["resource"],
        vector["expiry"],
        vector["policy"],
    )
    verify_token(token, [vector["key"]], [vector["resource"].upper()], vector["expiry"] - 1)


@given(KEYS, st.text(max_size=60).filter(lambda t: t.isprintable()), st.integers(NOW + 1, 10**11))
def test_our_tokens_verify_with_either_key(key: str, resource: str, expiry: int) -> None:
    token = SasToken.parse(make_token(resource, key_signer(key), expiry, policy="a b"))
    assert token.policy == "a b"
    assert base64.b64encode(token.signature).decode() not in repr(token)
    verify_token(token, [OTHER_KEY, key], ["elsewhere", resource], NOW)


@given(st.data())
def test_a_token_with_any_character_changed_is_refused(data: st.DataObject) -> None:
    text = make_token(RESOURCE, key_signer(KEY), NOW + 10)
    at = data.draw(st.integers(0, len(text) - 1))
    put = data.draw(st.characters(min_codepoint=33, max_codepoint=126).filter(lambda c: c != text[at]))
    changed = text[:at] + put + text[at + 1 :]
    # In the signature %2f and %2F are one escape; nothing else has two spellings.
    in_signature = at > text.index("&sig=")
    assume(not (in_signature and unquote(text) == unquote(changed)))
    with pytest.raises(NotAuthenticated):
        verify_token(SasToken.parse(changed), [KEY], [RESOURCE], NOW)


def test_a_signature_has_one_spelling() -> None:
    text = make_token(RESOURCE, key_signer(KEY), NOW + 10)
    at = text.index("%3D") - 1
    spellings = {text[:at] + digit + text[at + 1 :] for digit in string.ascii_letters + string.digits}
    assert len(spellings) == 62
    for changed in spellings - {text}:
        with pytest.raises(NotAuthenticated):
            verify_token(SasToken.parse(changed), [KEY], [RESOURCE], NOW)


@pytest.mark.parametrize(
    ("key", "resource", "now", "reason"),
    [
        (OTHER_KEY, RESOURCE, NOW, "signature"),
        (OTHER_KEY, "else", NOW + 99, "signature"),
        (KEY, "else", NOW + 10, "expired"),
        (KEY, RESOURCE + "/modules/m", NOW, "audience"),
    ],
)
def test_refusal_names_the_first_reason_in_order(key: str, resource: str, now: float, reason: str) -> None:
    token = SasToken.parse(make_token(RESOURCE, key_signer(KEY), NOW + 10))
    with pytest.raises(NotAuthenticated) as caught:
        verify_token(token, [key], [resource], now)
    assert caught.value.fields["reason"] == reason


def test_a_token_verifies_with_no_key_never() -> None:
    token = SasToken.parse(make_token(RESOURCE, key_signer(KEY), NOW + 10))
    with pytest.raises(NotAuthenticated):
        verify_token(token, [], [RESOURCE], NOW)


@given(
    st.text(max_size=80) | st.text(max_size=80).map(lambda t: "SharedAccessSignature sr=a&sig=YQ==&se=1&" + t)
)
def test_any_text_is_a_token_or_not_authenticated(text: str) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        verify_token(SasToken.parse(text), [KEY], [RESOURCE], NOW)
    assert caught.value.fields["reason"] in {"malformed", "signature"}


@given(st.text(max_size=80))
def test_any_text_is_a_connection_string_or_invalid_input(text: str) -> None:
    with pytest.raises(InvalidInput):
        ConnectionString.parse(text)
