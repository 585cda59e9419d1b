"""Who may speak to the edge hub."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from skerry.clock import ManualClock
from skerry.contract.credentials import key_signer, make_token
from skerry.contract.names import DeviceId, Identity
from skerry.edge.hub.authority import Authority
from skerry.edge.hub.leaf import Leaf, parse_leaf
from skerry.edge.hub.scope import parse_scope
from skerry.errors import InvalidInput, NotAuthenticated
from skerry.service import certificates
from tests.support.edge import HUB, key_of, module
from tests.unit.hub.certified import thumbprint

CNN = module("cnn")


@pytest.fixture
def authority(clock: ManualClock) -> Authority:
    keys = {CNN: (key_of("cnn"), key_of("cnn2"))}
    return Authority(lambda identity: keys.get(identity, ()), [HUB, "gateway"], clock)


def token(clock: ManualClock, identity: Identity, host: str, key: str, seconds: int = 60) -> str:
    return make_token(
        identity.resource(host), key_signer(key_of(key)), int(clock.now().timestamp()) + seconds
    )


@pytest.mark.parametrize(
    ("host", "key"), [(HUB, "cnn"), (HUB, "cnn2"), ("gateway", "cnn"), ("GATEWAY", "cnn")]
)
def test_both_keys_and_both_names_are_good(
    authority: Authority, clock: ManualClock, host: str, key: str
) -> None:
    authority.check(CNN, token(clock, CNN, host, key))
    assert authority.accepts_host(host)


def test_everything_else_is_refused_with_its_reason(authority: Authority, clock: ManualClock) -> None:
    for given, reason in (
        (token(clock, CNN, "elsewhere", "cnn"), "audience"),
        (token(clock, CNN, HUB, "camera"), "signature"),
        (token(clock, CNN, HUB, "cnn", -1), "expired"),
        (None, "malformed"),
        ("secret", "malformed"),
    ):
        with pytest.raises(NotAuthenticated) as caught:
            authority.check(CNN, given)
        assert caught.value.fields["reason"] == reason
    with pytest.raises(NotAuthenticated, match="not of this device"):
        authority.check(module("stranger"), token(clock, module("stranger"), HUB, "cnn"))
    assert not authority.accepts_host("elsewhere")


NOW = datetime(2026, 6, 1, tzinfo=UTC)
LEAF = Identity(DeviceId("leaf-1"))


def ders(own: certificates.Issued) -> list[bytes]:
    chain = x509.load_pem_x509_certificates(own.cert_chain_pem.encode())
    return [one.public_bytes(Encoding.DER) for one in chain]


def judging(leaf: Leaf, *anchors: certificates.Authority, time: datetime | None = NOW) -> Authority:
    clock = ManualClock(datetime(1970, 1, 1, tzinfo=UTC))
    return Authority(
        lambda _: (),
        [HUB],
        clock,
        leaf=lambda who: leaf if who == LEAF else None,
        anchors=lambda: [one.certificate for one in anchors],
        time=lambda: time,
    )


def reason(authority: Authority, certificates: list[bytes], who: Identity = LEAF) -> str:
    try:
        authority.check(who, None, certificates)
    except NotAuthenticated as exc:
        return str(exc.fields["reason"])
    return ""


def test_a_leaf_is_known_by_its_thumbprint() -> None:
    clock = ManualClock(NOW)
    own, other = (certificates.self_signed("any", clock, 86_400) for _ in range(2))
    leaf = Leaf(thumbprints=(thumbprint(own), ""))
    assert judging(leaf).knows(LEAF)
    assert reason(judging(leaf), ders(own)) == ""
    assert reason(judging(leaf), ders(other)) == "thumbprint"
    assert reason(judging(leaf), []) == "missing"
    assert reason(judging(leaf), ders(own), Identity(DeviceId("leaf-2"))) == "unknown"
    later = NOW + timedelta(days=2)
    assert reason(judging(leaf, time=later), ders(own)) == "expired"
    # Offline nobody knows the time, least of all this device: it is 1970 here.
    assert reason(judging(leaf, time=None), ders(own)) == ""


def test_a_leaf_is_vouched_for_by_its_authority() -> None:
    clock = ManualClock(NOW)
    root = certificates.Authority.create("plant", clock)
    own = root.issue_intermediate("line").issue_client("leaf-1", 86_400)
    leaf = Leaf(by_authority=True)
    assert reason(judging(leaf, root), ders(own)) == ""
    assert reason(judging(leaf, root), ders(root.issue_client("leaf-2"))) == "name"
    assert reason(judging(leaf), ders(own)) == "chain"
    assert reason(judging(leaf, root, time=NOW + timedelta(days=2)), ders(own)) == "expired"
    assert reason(judging(leaf, root, time=None), ders(own)) == ""


@pytest.mark.parametrize(
    ("authentication", "leaf"),
    [
        ({"type": "sas", "symmetricKey": {"primaryKey": "a", "secondaryKey": "b"}}, Leaf(("a", "b"))),
        ({"symmetricKey": {"primaryKey": "a"}}, Leaf(("a",))),
        ({"type": "sas", "symmetricKey": {}}, None),
        ({"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": "A"}}, Leaf(thumbprints=("A",))),
        ({"type": "selfSigned", "x509Thumbprint": {}}, None),
        ({"type": "certificateAuthority"}, Leaf(by_authority=True)),
    ],
)
def test_a_leaf_is_what_the_registry_says(authentication: dict[str, Any], leaf: Leaf | None) -> None:
    found = parse_leaf({"authentication": authentication})
    assert found == leaf
    assert found is None or Leaf.from_json(found.to_json()) == found
    assert Leaf.from_json(["a", "b"]) == Leaf(("a", "b")), "as an earlier release kept it"


def test_the_scope_brings_the_authorities_along() -> None:
    root = certificates.Authority.create("plant", ManualClock(NOW))
    device = {"deviceId": "leaf-1", "authentication": {"type": "certificateAuthority"}}
    gone = {"deviceId": "leaf-2", "status": "disabled", "authentication": {"type": "certificateAuthority"}}
    document = {"devices": [device, gone], "certificateAuthorities": [root.certificate_pem]}
    assert parse_scope(document) == ({LEAF.device: Leaf(by_authority=True)}, (root.certificate,))
    assert parse_scope({"devices": []}) == ({}, ())
    wrong: list[Any] = [{}, [], {"devices": [], "certificateAuthorities": ["x"]}]
    for bad in wrong:
        with pytest.raises(InvalidInput):
            parse_scope(bad)
