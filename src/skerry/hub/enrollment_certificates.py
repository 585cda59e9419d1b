"""The certificates of an enrolment: read when they are given, described to services, matched to devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from skerry.clock import iso
from skerry.contract.attestation import AUTHORITY, SIGNING, X509
from skerry.contract.enrollment import Enrollment
from skerry.errors import InvalidInput, NotAuthenticated
from skerry.hub.ca_certificates import CaCertificates
from skerry.service.certificate_chain import (
    Certificate,
    check_client,
    check_dates,
    has_thumbprint,
    is_authority,
    read_certificate,
    thumbprints,
    verify_chain,
)

Json = dict[str, Any]


def settled(wanted: X509, old: X509 | None, authorities: CaCertificates) -> X509:
    """With certificates read and described; one that was not given again is the old one. InvalidInput."""
    if wanted.source == AUTHORITY:
        for name in filter(None, wanted.both):
            if authorities.anchor(name) is None:
                raise InvalidInput(
                    f"there is no verified authority {name[:64]!r}",
                    hint="upload it with: skerry certificate create",
                    path=f"attestation.x509.{AUTHORITY}",
                )
        return wanted
    pems = ["", ""]
    infos: list[Json | None] = [None, None]
    for at, slot in enumerate(("primary", "secondary")):
        path = f"attestation.x509.{wanted.source}.{slot}.certificate"
        text = wanted.both[at] or _kept(wanted, old, at)
        if not text:
            if wanted.infos[at] is not None:
                raise InvalidInput("this certificate is not known here", hint="give it whole", path=path)
            continue
        certificate = read_certificate(text, path)
        if wanted.source == SIGNING and not is_authority(certificate):
            raise InvalidInput("this certificate is no authority", hint="basicConstraints CA:TRUE", path=path)
        pems[at], infos[at] = certificate.public_bytes(Encoding.PEM).decode(), described(certificate)
    return replace(wanted, primary=pems[0], secondary=pems[1], infos=(infos[0], infos[1]))


def described(certificate: Certificate) -> Json:
    """The X509CertificateInfo of the service API."""
    sha1, sha256 = thumbprints(certificate)
    return {
        "subjectName": certificate.subject.rfc4514_string(),
        "sha1Thumbprint": sha1,
        "sha256Thumbprint": sha256,
        "issuerName": certificate.issuer.rfc4514_string(),
        "notBeforeUtc": iso(certificate.not_valid_before_utc),
        "notAfterUtc": iso(certificate.not_valid_after_utc),
        "serialNumber": f"{certificate.serial_number:X}",
        "version": certificate.version.value + 1,
    }


def check_own(
    enrollment: Enrollment, chain: Sequence[Certificate], authorities: CaCertificates, now: datetime
) -> None:
    """Raise NotAuthenticated unless the certificate is the individually enrolled one, or of its authority."""
    attestation = enrollment.x509
    assert attestation is not None
    if attestation.source == AUTHORITY:
        verify_chain(chain, anchors(attestation, authorities), now)
        return
    if not has_thumbprint(chain[0], [str(info["sha256Thumbprint"]) for info in attestation.infos if info]):
        raise NotAuthenticated(
            f"the certificate shown is not the one of {enrollment.name}",
            hint=f"enrol the one with SHA-256 {thumbprints(chain[0])[1]}, if it is right",
            reason="thumbprint",
        )
    check_dates(chain[0], now)
    check_client(chain[0])


def group_of(
    groups: Sequence[Enrollment], chain: Sequence[Certificate], authorities: CaCertificates, now: datetime
) -> Enrollment:
    """The group whose authority the chain meets first on its way up; NotAuthenticated when it meets none."""
    trusted: dict[Certificate, Enrollment] = {}
    for group in groups:
        assert group.x509 is not None
        for anchor in anchors(group.x509, authorities):
            trusted.setdefault(anchor, group)
    return trusted[verify_chain(chain, list(trusted), now)]


def anchors(attestation: X509, authorities: CaCertificates) -> list[Certificate]:
    """The authorities an enrolment trusts."""
    if attestation.source == AUTHORITY:
        named = (authorities.anchor(name) for name in attestation.both if name)
        return [one for one in named if one is not None]
    return [x509.load_pem_x509_certificate(pem.encode()) for pem in attestation.both if pem]


def _kept(wanted: X509, old: X509 | None, at: int) -> str:
    if wanted.infos[at] is None or old is None or old.source != wanted.source:
        return ""
    return old.both[at]
