"""Where a device gets its SAS tokens from."""

from __future__ import annotations

from typing import Protocol

from skerry.clock import Clock
from skerry.contract.credentials import SasToken, key_signer, make_token
from skerry.errors import NotAuthenticated

# What Microsoft's SDKs use (contract.md §1.2).
TOKEN_LIFETIME_S = 3600
# contract.md §1.4: a device reconnects with a new token this long before the old one ends.
RENEW_BEFORE_S = 120.0
# However short or skewed a token is, we do not reconnect more often than this for it.
RENEW_AFTER_MIN_S = 30.0


class TokenSource(Protocol):
    async def token(self, resource: str) -> str | None:
        """A fresh token for ``resource``; None for no password (X.509). Unavailable: try later."""


class KeyTokens:
    """Signs with the identity's own key (base64)."""

    def __init__(self, key: str, clock: Clock, lifetime_s: int = TOKEN_LIFETIME_S) -> None:
        self._sign = key_signer(key)
        self._clock = clock
        self._lifetime_s = lifetime_s

    async def token(self, resource: str) -> str:
        return make_token(resource, self._sign, int(self._clock.now().timestamp()) + self._lifetime_s)


class NoToken:
    """For who proves itself by the certificate of its TLS connection."""

    async def token(self, resource: str) -> None:
        return None


class FixedToken:
    """One ready-made token, for as long as it lasts."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def token(self, resource: str) -> str:
        return self._text


def renew_in_s(token: str | None, clock: Clock) -> float | None:
    """Seconds until a connection made with ``token`` should be renewed; None: never, or not ours to know."""
    if token is None:
        return None
    try:
        left = SasToken.parse(token).expiry - clock.now().timestamp()
    except NotAuthenticated:
        return None
    return max(left - min(RENEW_BEFORE_S, left / 5), RENEW_AFTER_MIN_S)
