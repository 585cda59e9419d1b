"""Which client certificates count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from skerry.clock import ManualClock
from skerry.errors import InvalidInput, NotAuthenticated
from skerry.service.certificate_chain import (
    CHAIN_MAX,
    Certificate,
    check_client,
    check_dates,
    common_name,
    has_thumbprint,
    read_certificate,
    read_chain,
    thumbprints,
    verify_chain,
)
from skerry.service.certificates import Authority, self_signed

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CLOCK = ManualClock(NOW)
ROOT = Authority.create("root", CLOCK)
MIDDLE = ROOT.issue_intermediate("middle")
LOWER = MIDDLE.issue_intermediate("lower")


def chain(pem: str) -> list[Certificate]:
    return x509.load_pem_x509_certificates(pem.encode())


def reason(chain: Sequence[Certificate], anchors: Sequence[Certificate], now: datetime | None = NOW) -> str:
    """Why a chain is refused; empty when it is not."""
    try:
        verify_chain(chain, anchors, now)
    except NotAuthenticated as exc:
        return str(exc.fields["reason"])
    return ""


def test_a_chain_leads_to_the_first_anchor_on_its_way() -> None:
    sent = chain(LOWER.issue_client("dev").cert_chain_pem)
    assert common_name(sent[0]) == "dev"
    assert len(sent) == 3
    assert verify_chain(sent, [ROOT.certificate], NOW) == ROOT.certificate
    # An intermediate may be trusted as it stands, and then nothing above it is needed.
    assert verify_chain(sent, [MIDDLE.certificate], NOW) == MIDDLE.certificate
    assert verify_chain(sent[:1], [LOWER.certificate], NOW) == LOWER.certificate
    assert verify_chain([sent[0], sent[2], sent[1]], [ROOT.certificate], NOW) == ROOT.certificate
    assert reason(sent[:1], [ROOT.certificate]) == "chain"
    assert reason(sent, [Authority.create("root", CLOCK).certificate]) == "chain"
    assert reason(sent, []) == "chain"


def test_dates_are_those_of_every_certificate_unless_there_is_no_time() -> None:
    brief = ROOT.issue_intermediate("brief", 3600)
    sent = chain(brief.issue_client("dev", 7200).cert_chain_pem)
    assert reason(sent, [ROOT.certificate], NOW + timedelta(seconds=3599)) == ""
    assert reason(sent, [ROOT.certificate], NOW + timedelta(seconds=3601)) == "expired"
    assert reason(sent, [ROOT.certificate], NOW - timedelta(days=2)) == "not yet valid"
    assert reason(sent, [ROOT.certificate], None) == ""
    with pytest.raises(NotAuthenticated, match="2026-05-31 00:00 to 2026-06-01 01:00"):
        check_dates(sent[0], NOW + timedelta(days=400))


def test_a_leaf_signs_nobody() -> None:
    """The certificate of one device must not make another."""
    issued = ROOT.issue_client("dev-1")
    leaf = chain(issued.cert_chain_pem)[0]
    assert reason([_signed_by(issued.key_pem, leaf, "dev-2"), leaf], [ROOT.certificate]) == "chain"


@pytest.mark.parametrize(
    ("path_length", "levels", "expected"), [(0, 0, ""), (0, 1, "chain"), (1, 1, ""), (1, 2, "chain")]
)
def test_an_authority_says_how_many_may_be_below_it(path_length: int, levels: int, expected: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _named("bounded", ROOT.certificate.subject, key)
    builder = builder.add_extension(x509.BasicConstraints(True, path_length), critical=True)
    here = Authority(builder.sign(ROOT.key, hashes.SHA256()), key, (ROOT.certificate,), CLOCK)
    for level in range(levels):
        here = here.issue_intermediate(f"level {level}")
    assert reason(chain(here.issue_client("dev").cert_chain_pem), [ROOT.certificate]) == expected


def test_a_server_certificate_is_none_for_clients() -> None:
    server = chain(ROOT.issue_server("dev", ["dev"]).cert_chain_pem)
    assert reason(server, [ROOT.certificate]) == "usage"
    with pytest.raises(NotAuthenticated, match="clientAuth"):
        check_client(server[0])


def test_a_certificate_without_extensions_is_no_worse() -> None:
    """Of many a guide with three lines of openssl."""
    key = ec.generate_private_key(ec.SECP256R1())
    plain = _named("dev", ROOT.certificate.subject, key).sign(ROOT.key, hashes.SHA256())
    assert reason([plain], [ROOT.certificate]) == ""
    server_too = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = _named("dev", ROOT.certificate.subject, key)
    builder = builder.add_extension(x509.ExtendedKeyUsage(server_too), critical=True)
    assert reason([builder.sign(ROOT.key, hashes.SHA256())], [ROOT.certificate]) == ""


def test_what_is_critical_and_not_understood_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    constraint = x509.NameConstraints([x509.DNSName("a.example")], None)
    builder = _named("narrow", ROOT.certificate.subject, key)
    builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    builder = builder.add_extension(constraint, critical=True)
    narrow = Authority(builder.sign(ROOT.key, hashes.SHA256()), key, (ROOT.certificate,), CLOCK)
    assert reason(chain(narrow.issue_client("dev").cert_chain_pem), [ROOT.certificate]) == "chain"


def test_a_circle_of_authorities_ends() -> None:
    sent = chain(ROOT.issue_client("dev").cert_chain_pem)
    assert reason([sent[0], ROOT.certificate, ROOT.certificate], [MIDDLE.certificate]) == "chain"


def test_thumbprints_compare_in_both_forms_and_cases() -> None:
    (one,) = chain(self_signed("dev", CLOCK).cert_chain_pem)
    sha1, sha256 = thumbprints(one)
    assert (len(sha1), len(sha256)) == (40, 64)
    for good in (sha1, sha1.lower(), sha256, sha256.lower()):
        assert has_thumbprint(one, ["", good])
    assert not has_thumbprint(one, ["", "A" * 40])
    assert not has_thumbprint(one, ["", ""])


def test_certificates_are_read_in_the_forms_people_have() -> None:
    pem = ROOT.certificate_pem
    inner = "".join(pem.strip().splitlines()[1:-1])
    assert read_certificate(pem, "p") == read_certificate(inner, "p") == ROOT.certificate
    for bad in ("", "MIIB", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----", "\x00"):
        with pytest.raises(InvalidInput) as caught:
            read_certificate(bad, "x509.primary")
        assert caught.value.fields["path"] == "x509.primary"


def test_a_chain_is_bounded() -> None:
    der = ROOT.certificate.public_bytes(Encoding.DER)
    assert read_chain([der]) == (ROOT.certificate,)
    for bad in ([], [b"\x30\x00"], [der] * (CHAIN_MAX + 1), [der + b"x" * 20_000]):
        with pytest.raises(NotAuthenticated):
            read_chain(bad)


def _named(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
    )


def _signed_by(key_pem: str, issuer: Certificate, name: str) -> Certificate:
    key = Authority.create("throwaway", CLOCK).key
    signing = load_pem_private_key(key_pem.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    return _named(name, issuer.subject, key).sign(signing, hashes.SHA256())
