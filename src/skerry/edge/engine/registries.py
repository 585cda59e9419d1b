"""The registries a device pulls from: how it proves itself to each, and whom it believes."""

from __future__ import annotations

import platform
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass

from skerry.clock import Clock
from skerry.contract.manifest import RegistryCredentials
from skerry.oci.reference import parse_reference
from skerry.oci.registry.credentials import Login
from skerry.oci.registry.place import place_of
from skerry.oci.registry.session import Registry

# What machines call themselves, in the words of image platforms.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm"}


@dataclass(frozen=True, slots=True)
class OwnRegistry:
    """The registry of the device's hub: ``host`` as images name it, ``address`` where it is reached.

    ``login`` gives the device's own; without a password it is the certificate that ``tls`` shows that counts.
    Both are made anew for every pull: keys and certificates change.
    """

    host: str
    address: str
    tls: Callable[[], ssl.SSLContext]
    login: Callable[[], RegistryCredentials]


class Registries:
    """Sessions with any registry; plain HTTP or any certificate only with those in ``insecure``."""

    def __init__(
        self,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        own: OwnRegistry | None = None,
        insecure: Collection[str] = (),
    ) -> None:
        self.clock = clock
        self._jitter = jitter
        self._own = own
        self._insecure = frozenset(insecure)

    def login(self, image: str, given: RegistryCredentials | None) -> RegistryCredentials | None:
        """What the deployment gives; without it, towards the hub's registry the device's own identity."""
        if given is None and self._own is not None and self._is_own(place_of(parse_reference(image)).host):
            return self._own.login()
        return given

    def session(self, host: str, credentials: RegistryCredentials | None) -> Registry:
        """A session with the registry at ``host``, to be used as an async context."""
        login = None if credentials is None else Login(credentials.username, credentials.password)
        own = self._own if self._own is not None and self._is_own(host) else None
        return Registry(
            host,
            clock=self.clock,
            jitter=self._jitter,
            login=login,
            tls=None if own is None else own.tls(),
            address="" if own is None else own.address,
            insecure=host in self._insecure,
        )

    def _is_own(self, host: str) -> bool:
        return self._own is not None and host.lower() == self._own.host.lower()


def architecture() -> str:
    """This machine's, as an image index names it."""
    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)
