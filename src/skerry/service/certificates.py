"""X.509 authorities of our own, with the certificates they issue."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from skerry.clock import Clock
from skerry.errors import Damaged, InvalidInput, NotFound
from skerry.service.files import PRIVATE, write_atomic

KeyKind = Literal["ec-p256", "rsa2048"]
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

# A device without network has a wrong clock; certificates begin this much earlier than they were made.
BACKDATED = timedelta(days=1)
DAY_S = 86_400
ROOT_VALID_S = 20 * 365 * DAY_S
INTERMEDIATE_VALID_S = 10 * 365 * DAY_S
# RFC 5280 §4.1.2.5: the date for "no end", and the last one X.509 can write.
LAST_MOMENT = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
# RFC 5280 appendix A: ub-common-name.
COMMON_NAME_MAX = 64


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key, as PEM text. The chain is leaf first, without the root."""

    cert_chain_pem: str
    key_pem: str = field(repr=False)
    not_after: datetime


@dataclass(frozen=True)
class Authority:
    """A certificate authority: a root, or an intermediate below one."""

    certificate: x509.Certificate
    key: Key = field(repr=False)
    above: tuple[x509.Certificate, ...]  # issuers up to and with the root; empty for a root
    clock: Clock = field(repr=False)

    @classmethod
    def create(
        cls,
        common_name: str,
        clock: Clock,
        *,
        key: KeyKind = "ec-p256",
        valid_s: float = ROOT_VALID_S,
        not_before: datetime | None = None,
    ) -> Authority:
        """A new self-signed root; without ``not_before`` it begins a day ago."""
        made, name = _new_key(key), _name(common_name)
        builder = _builder(name, name, made, clock.now(), valid_s, LAST_MOMENT, not_before)
        builder = _authority_extensions(builder, made, made)
        return cls(builder.sign(made, hashes.SHA256()), made, (), clock)

    @classmethod
    def load(cls, folder: Path, clock: Clock) -> Authority:
        """What ``save`` wrote. Raises NotFound, Damaged."""
        try:
            chain = x509.load_pem_x509_certificates((folder / "ca.pem").read_bytes())
            key = serialization.load_pem_private_key((folder / "ca.key.pem").read_bytes(), None)
        except FileNotFoundError as error:
            raise NotFound(f"no authority in {folder}", path=str(folder)) from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise Damaged(
                f"the authority in {folder} does not read back: {error}", path=str(folder)
            ) from error
        if not isinstance(key, Key) or key.public_key() != chain[0].public_key():
            raise Damaged(f"key and certificate in {folder} do not belong together", path=str(folder))
        return cls(chain[0], key, tuple(chain[1:]), clock)

    def save(self, folder: Path) -> None:
        """Write ``ca.pem`` (with the chain above, root last) and ``ca.key.pem`` (0600). Blocks shortly.

        Raises StorageFull, Unavailable.
        """
        write_atomic(folder / "ca.key.pem", self.key_pem.encode(), mode=PRIVATE)
        write_atomic(folder / "ca.pem", _pem(self.certificate, *self.above).encode())

    @property
    def certificate_pem(self) -> str:
        """This authority's own certificate."""
        return _pem(self.certificate)

    @property
    def root_pem(self) -> str:
        """The root to trust: this one, or the last above."""
        return _pem(self.above[-1] if self.above else self.certificate)

    @property
    def chain_pem(self) -> str:
        """What a server sends after its own certificate: this one and those above, without the root."""
        return _pem(*self._chain())

    @property
    def key_pem(self) -> str:
        """The private key (PKCS #8, not encrypted)."""
        return _key_pem(self.key)

    def issue_intermediate(
        self,
        common_name: str,
        valid_s: float = INTERMEDIATE_VALID_S,
        *,
        key: KeyKind = "ec-p256",
        not_before: datetime | None = None,
    ) -> Authority:
        """An authority below this one: the hub's device CA, a device's edge CA."""
        made = _new_key(key)
        builder = self._builder(common_name, made, valid_s, not_before)
        builder = _authority_extensions(builder, made, self.key)
        certificate = builder.sign(self.key, hashes.SHA256())
        return Authority(certificate, made, (self.certificate, *self.above), self.clock)

    def issue_server(
        self,
        common_name: str,
        dns: Sequence[str] = (),
        ips: Sequence[str] = (),
        valid_s: float = 365 * DAY_S,
        *,
        key: KeyKind = "ec-p256",
        not_before: datetime | None = None,
    ) -> Issued:
        """A certificate for a TLS server under these names and addresses. Raises InvalidInput.

        Verifiers look only at ``dns`` and ``ips`` (RFC 6125), never at the common name.
        """
        made = _new_key(key)
        names = [*map(_dns_name, dns), *map(_ip_address, ips)]
        builder = self._builder(common_name, made, valid_s, not_before)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return self._sign(builder, made, ExtendedKeyUsageOID.SERVER_AUTH)

    def issue_client(
        self, common_name: str, valid_s: float = 365 * DAY_S, *, key: KeyKind = "ec-p256"
    ) -> Issued:
        """A certificate by which a device proves that it is ``common_name``."""
        made = _new_key(key)
        builder = self._builder(common_name, made, valid_s, None)
        return self._sign(builder, made, ExtendedKeyUsageOID.CLIENT_AUTH)

    def issued(self, certificate: x509.Certificate) -> bool:
        """Whether this authority's key signed it (dates are not looked at)."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True

    def _sign(self, builder: x509.CertificateBuilder, key: Key, usage: x509.ObjectIdentifier) -> Issued:
        builder = _leaf_extensions(builder, usage)
        certificate = _key_identifiers(builder, key, self.key).sign(self.key, hashes.SHA256())
        chain = _pem(certificate, *self._chain())
        return Issued(chain, _key_pem(key), certificate.not_valid_after_utc)

    def _builder(
        self, common_name: str, key: Key, valid_s: float, not_before: datetime | None
    ) -> x509.CertificateBuilder:
        # Nothing outlives its issuer: verifiers would refuse the chain anyway.
        last = self.certificate.not_valid_after_utc
        issuer = self.certificate.subject
        return _builder(_name(common_name), issuer, key, self.clock.now(), valid_s, last, not_before)

    def _chain(self) -> Sequence[x509.Certificate]:
        return (self.certificate, *self.above)[: len(self.above)]


def self_signed(
    common_name: str,
    clock: Clock,
    valid_s: float = 365 * DAY_S,
    *,
    key: KeyKind = "ec-p256",
    not_before: datetime | None = None,
) -> Issued:
    """A certificate by which a device proves itself with no authority, known at the hub by its thumbprint."""
    made, name = _new_key(key), _name(common_name)
    builder = _builder(name, name, made, clock.now(), valid_s, LAST_MOMENT, not_before)
    builder = _leaf_extensions(builder, ExtendedKeyUsageOID.CLIENT_AUTH)
    certificate = _key_identifiers(builder, made, made).sign(made, hashes.SHA256())
    return Issued(_pem(certificate), _key_pem(made), certificate.not_valid_after_utc)


def _leaf_extensions(
    builder: x509.CertificateBuilder, usage: x509.ObjectIdentifier
) -> x509.CertificateBuilder:
    builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
    builder = builder.add_extension(_usage(), critical=True)
    return builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: Key,
    now: datetime,
    valid_s: float,
    last: datetime,
    not_before: datetime | None,
) -> x509.CertificateBuilder:
    if valid_s <= 0:
        raise InvalidInput("a certificate must be valid for some time", field="valid_s", value=valid_s)
    ends = last if valid_s >= (last - now).total_seconds() else now + timedelta(seconds=valid_s)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A clock may stand behind the end of the issuer; what begins then would be no certificate at all.
        .not_valid_before(not_before or min(now, last) - BACKDATED)
        .not_valid_after(ends)
    )


def _authority_extensions(builder: x509.CertificateBuilder, key: Key, issuer: Key) -> x509.CertificateBuilder:
    builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    builder = builder.add_extension(_usage(signs=True), critical=True)
    return _key_identifiers(builder, key, issuer)


def _key_identifiers(builder: x509.CertificateBuilder, key: Key, issuer: Key) -> x509.CertificateBuilder:
    """By them verifiers find the issuer although two authorities have the same name (RFC 5280 §4.2.1.1)."""
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())
    return builder.add_extension(own, critical=False).add_extension(above, critical=False)


def _usage(*, signs: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    if not 1 <= len(common_name) <= COMMON_NAME_MAX:
        raise InvalidInput(
            f"a common name has 1 to {COMMON_NAME_MAX} characters", field="common_name", value=common_name
        )
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _dns_name(text: str) -> x509.DNSName:
    try:
        return x509.DNSName(text)
    except ValueError as error:
        raise InvalidInput(
            f"not a DNS name: {text!r}", hint="write it in ASCII (punycode)", value=text
        ) from error


def _ip_address(text: str) -> x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError as error:
        raise InvalidInput(f"not an IP address: {text!r}", value=text) from error


def _new_key(kind: KeyKind) -> Key:
    if kind == "rsa2048":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def _key_pem(key: Key) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def _pem(*certificates: x509.Certificate) -> str:
    encoded = (certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)
    return b"".join(encoded).decode()
