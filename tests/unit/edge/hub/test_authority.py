"""Who may speak to the edge hub."""

from __future__ import annotations

import pytest

from skerry.clock import ManualClock
from skerry.contract.credentials import key_signer, make_token
from skerry.contract.names import Identity
from skerry.edge.hub.authority import Authority
from skerry.errors import NotAuthenticated
from tests.support.edge import HUB, key_of, module

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
