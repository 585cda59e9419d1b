"""Devices that prove themselves by a certificate instead of a key (contract §1.6)."""

from __future__ import annotations

from collections.abc import Sequence

from skerry.clock import Clock
from skerry.contract.names import Identity
from skerry.errors import NotAuthenticated
from skerry.hub.ca_certificates import CaCertificates
from skerry.hub.identity_rows import IdentityRow
from skerry.hub.registry import Registry
from skerry.service.certificate_chain import (
    check_client,
    check_dates,
    common_name,
    has_thumbprint,
    read_chain,
    verify_chain,
)


class DeviceCertificates:
    """Judges what a device showed in its TLS handshake, which proved that it has the key."""

    def __init__(self, registry: Registry, authorities: CaCertificates, clock: Clock) -> None:
        self._registry = registry
        self._authorities = authorities
        self._clock = clock

    def check(self, identity: Identity, presented: Sequence[bytes]) -> None:
        """Return when the certificate is the identity's.

        Raises NotAuthenticated; its words are for the operator, never for who asked.
        """
        row = self._registry.find(identity)
        if row is None:
            raise NotAuthenticated(f"{identity.client_id} is not registered here", reason="unknown")
        match row.auth_type:
            case "selfSigned":
                self._check_thumbprint(row, presented)
            case "certificateAuthority":
                self._check_issued(row, presented)
            case _:
                raise NotAuthenticated(
                    f"{identity.client_id} proves itself by {row.auth_type}, not by a certificate",
                    hint="send a SAS token, or register it with authentication type selfSigned",
                    reason="method",
                )

    def _check_thumbprint(self, row: IdentityRow, presented: Sequence[bytes]) -> None:
        leaf = read_chain(presented)[0]
        if not has_thumbprint(leaf, (row.thumbprints.primary, row.thumbprints.secondary)):
            raise NotAuthenticated(
                f"the certificate of {row.identity.client_id} has another thumbprint than registered",
                hint="register the thumbprint of the certificate that it shows",
                reason="thumbprint",
            )
        check_dates(leaf, self._clock.now())
        check_client(leaf)

    def _check_issued(self, row: IdentityRow, presented: Sequence[bytes]) -> None:
        chain = read_chain(presented)
        if common_name(chain[0]) != row.identity.client_id:
            raise NotAuthenticated(
                f"the certificate shown for {row.identity.client_id} is for {common_name(chain[0])[:128]!r}",
                hint="its common name has to be the device id",
                reason="name",
            )
        verify_chain(chain, self._authorities.anchors, self._clock.now())
