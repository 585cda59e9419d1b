"""Who may speak to the edge hub, by what is kept on the device; no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from skerry.clock import Clock
from skerry.contract.credentials import SasToken, verify_token
from skerry.contract.names import Identity
from skerry.edge.hub.leaf import Leaf
from skerry.errors import NotAuthenticated
from skerry.service.certificate_chain import (
    Certificate,
    check_client,
    check_dates,
    common_name,
    has_thumbprint,
    read_chain,
    verify_chain,
)

KeysOf = Callable[[Identity], Sequence[str]]
# The leaf of that name if it shows a certificate; the authorities of such leaves; the time, if it is known.
LeafOf = Callable[[Identity], Leaf | None]
Anchors = Callable[[], Sequence[Certificate]]
TrueTime = Callable[[], datetime | None]


class Authority:
    """Checks certificates, and SAS tokens, which may be made for the hub or this gateway (contract.md §1.2).

    A certificate's dates are judged by ``time``, not by this device's clock: without a network that may be
    wrong by years, and leaf devices have to work then too.
    """

    def __init__(
        self,
        keys: KeysOf,
        hosts: Sequence[str],
        clock: Clock,
        *,
        leaf: LeafOf = lambda _: None,
        anchors: Anchors = tuple,
        time: TrueTime = lambda: None,
    ) -> None:
        self._keys = keys
        self._hosts = tuple(hosts)
        self._clock = clock
        self._leaf = leaf
        self._anchors = anchors
        self._time = time

    def accepts_host(self, host: str) -> bool:
        """Whether a user name may name this host."""
        return host.lower() in {name.lower() for name in self._hosts}

    def knows(self, identity: Identity) -> bool:
        """Whether it is of this device or in its scope."""
        return bool(self._keys(identity)) or self._leaf(identity) is not None

    def check(self, identity: Identity, token: str | None, certificates: Sequence[bytes] = ()) -> None:
        """Return when ``token`` or ``certificates`` prove ``identity``; NotAuthenticated otherwise."""
        if (leaf := self._leaf(identity)) is not None:
            self._check_certificate(identity, leaf, certificates)
            return
        keys = self._keys(identity)
        if not keys:
            raise NotAuthenticated(
                f"{identity.client_id} is not of this device",
                hint="a module has to be in the deployment, a device in the scope of this one",
                reason="unknown",
            )
        if token is None:
            raise NotAuthenticated(f"{identity.client_id} gave no token", reason="malformed")
        resources = [identity.resource(host) for host in self._hosts]
        verify_token(SasToken.parse(token), keys, resources, self._clock.now().timestamp())

    def _check_certificate(self, identity: Identity, leaf: Leaf, certificates: Sequence[bytes]) -> None:
        chain, now = read_chain(certificates), self._time()
        if leaf.by_authority:
            if common_name(chain[0]) != identity.client_id:
                raise NotAuthenticated(
                    f"the certificate shown for {identity.client_id} is for {common_name(chain[0])[:128]!r}",
                    reason="name",
                )
            verify_chain(chain, self._anchors(), now)
            return
        if not has_thumbprint(chain[0], leaf.thumbprints):
            raise NotAuthenticated(
                f"the certificate of {identity.client_id} has another thumbprint than registered",
                reason="thumbprint",
            )
        if now is not None:
            check_dates(chain[0], now)
        check_client(chain[0])
