"""Whether a client's certificate counts, decided after the handshake: by thumbprint or by who signed it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from skerry.errors import InvalidInput, NotAuthenticated

Certificate = x509.Certificate

# A device, two intermediates and a root are usual; each costs a signature to check.
CHAIN_MAX = 8
CERTIFICATE_BYTES_MAX = 16 * 1024
# What we look at or may safely not; any other critical extension refuses a chain (RFC 5280 §4.2).
_UNDERSTOOD = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.CERTIFICATE_POLICIES,
}


def read_chain(presented: Sequence[bytes]) -> tuple[Certificate, ...]:
    """What a peer showed (DER, its own first); raises NotAuthenticated."""
    if not presented:
        raise NotAuthenticated("no client certificate", hint="connect with one", reason="missing")
    if len(presented) > CHAIN_MAX or any(len(one) > CERTIFICATE_BYTES_MAX for one in presented):
        raise NotAuthenticated(f"over {CHAIN_MAX} certificates, or one too large", reason="malformed")
    try:
        return tuple(x509.load_der_x509_certificate(one) for one in presented)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise NotAuthenticated("the client certificate does not read as one", reason="malformed") from exc


def read_certificate(text: str, path: str) -> Certificate:
    """One certificate as people give it: PEM, or the base64 between its lines. Raises InvalidInput."""
    pem = text.strip()
    if "-----BEGIN" not in pem:
        pem = f"-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n"
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise InvalidInput(
            "this is no certificate", hint="PEM: -----BEGIN CERTIFICATE-----", path=path
        ) from exc


def is_authority(certificate: Certificate) -> bool:
    """Whether it may sign others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def is_issued_by(certificate: Certificate, issuer: Certificate) -> bool:
    """Whether the issuer's key signed it."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def thumbprints(certificate: Certificate) -> tuple[str, str]:
    """SHA-1 and SHA-256 of a certificate, in hexadecimal capitals."""
    der = certificate.public_bytes(Encoding.DER)
    # SHA-1 names a certificate at Azure; it signs nothing.
    return (
        hashlib.sha1(der, usedforsecurity=False).hexdigest().upper(),
        hashlib.sha256(der).hexdigest().upper(),
    )


def has_thumbprint(certificate: Certificate, wanted: Sequence[str]) -> bool:
    """Whether one of these, in either form and case, is the certificate's."""
    return bool(set(thumbprints(certificate)) & {one.upper() for one in wanted if one})


def common_name(certificate: Certificate) -> str:
    """The subject's last CN, as IoT Hub reads it; empty when there is none."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[-1].value) if names else ""


def check_dates(certificate: Certificate, now: datetime) -> None:
    """Raise NotAuthenticated unless the certificate holds now."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins <= now <= ends:
        raise NotAuthenticated(
            f"certificate of {_name(certificate)} is valid from {_day(begins)} to {_day(ends)},"
            f" and it is {_day(now)}",
            hint="renew it, or set the clock",
            reason="expired" if now > ends else "not yet valid",
        )


def check_client(certificate: Certificate) -> None:
    """Raise NotAuthenticated when its key is not meant for TLS clients."""
    if not _allows_clients(certificate):
        raise NotAuthenticated(
            f"certificate of {_name(certificate)} is not for TLS clients",
            hint="its extended key usage needs clientAuth",
            reason="usage",
        )


def verify_chain(
    chain: Sequence[Certificate], anchors: Sequence[Certificate], now: datetime | None
) -> Certificate:
    """The anchor that a client's certificate leads to over the others it showed (RFC 5280 §6.1).

    Anchors are trusted as they stand; they need not be roots. ``now`` None: dates are not looked at. Raises
    NotAuthenticated, which says at whom the way ended.
    """
    leaf = chain[0]
    _check_dates_maybe(leaf, now)
    check_client(leaf)
    _check_extensions(leaf)
    here, below, used = leaf, 0, {leaf}
    while len(used) <= CHAIN_MAX:
        if (anchor := _issuer(here, anchors, below, now)) is not None:
            return anchor
        step = _issuer(here, [one for one in chain if one not in used], below, now)
        if step is None:
            break
        # A certificate that is self-issued (a new key of the same authority) does not count as a level.
        below += step.subject != step.issuer
        here = step
        used.add(step)
    raise NotAuthenticated(
        f"no trusted authority: {_name(here)} is issued by {here.issuer.rfc4514_string()[:200]!r}",
        hint="upload and verify that authority, or have the device send its intermediate certificates",
        reason="chain",
    )


def _issuer(
    certificate: Certificate, candidates: Sequence[Certificate], below: int, now: datetime | None
) -> Certificate | None:
    """Who of them signed the certificate, and may have; raises NotAuthenticated when it may not."""
    for one in candidates:
        if is_issued_by(certificate, one):
            _check_authority(one, below)
            _check_dates_maybe(one, now)
            return one
    return None


def _check_authority(certificate: Certificate, below: int) -> None:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        may = constraints.ca
    except (x509.ExtensionNotFound, ValueError):
        constraints, may = None, False
    if may and (usage := _key_usage(certificate)) is not None:
        may = usage.key_cert_sign
    if not may or not _allows_clients(certificate):
        raise NotAuthenticated(
            f"{_name(certificate)} is no certificate authority for clients",
            hint="basicConstraints CA:TRUE, keyUsage keyCertSign",
            reason="chain",
        )
    if constraints is not None and constraints.path_length is not None and below > constraints.path_length:
        raise NotAuthenticated(
            f"{_name(certificate)} allows {constraints.path_length} authorities below it, not {below}",
            reason="chain",
        )
    _check_extensions(certificate)


def _check_dates_maybe(certificate: Certificate, now: datetime | None) -> None:
    if now is not None:
        check_dates(certificate, now)


def _check_extensions(certificate: Certificate) -> None:
    for name in _critical(certificate):
        if name not in _UNDERSTOOD:
            raise NotAuthenticated(
                f"{_name(certificate)} has a critical extension that is not understood here",
                hint=f"leave out {name.dotted_string}",
                reason="chain",
            )


def _critical(certificate: Certificate) -> Iterator[x509.ObjectIdentifier]:
    try:
        yield from (one.oid for one in certificate.extensions if one.critical)
    except (ValueError, x509.DuplicateExtension) as exc:
        raise NotAuthenticated(f"{_name(certificate)} has malformed extensions", reason="chain") from exc


def _key_usage(certificate: Certificate) -> x509.KeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return None


def _allows_clients(certificate: Certificate) -> bool:
    """Whether the extended key usage, if there is one, allows TLS clients."""
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    except ValueError:
        return False
    return bool({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & {*usages})


def _name(certificate: Certificate) -> str:
    return repr(certificate.subject.rfc4514_string()[:200])


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
