"""Who may speak to the edge hub: the device and its modules, by the keys kept on the device; no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from skerry.clock import Clock
from skerry.contract.credentials import SasToken, verify_token
from skerry.contract.names import Identity
from skerry.errors import NotAuthenticated

KeysOf = Callable[[Identity], Sequence[str]]


class Authority:
    """Checks SAS tokens; their audience may name the hub or this gateway (contract.md §1.2)."""

    def __init__(self, keys: KeysOf, hosts: Sequence[str], clock: Clock) -> None:
        self._keys = keys
        self._hosts = tuple(hosts)
        self._clock = clock

    def accepts_host(self, host: str) -> bool:
        """Whether a user name may name this host."""
        return host.lower() in {name.lower() for name in self._hosts}

    def knows(self, identity: Identity) -> bool:
        """Whether it is of this device or in its scope."""
        return bool(self._keys(identity))

    def check(self, identity: Identity, token: str | None) -> None:
        """Return when ``token`` proves ``identity``; NotAuthenticated otherwise."""
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
