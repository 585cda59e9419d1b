"""How enrolled devices prove themselves, as documents."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.contract.attestation import X509, attestation_json, parse_attestation
from skerry.contract.member import Member
from skerry.errors import InvalidInput

INFO = {"sha256Thumbprint": "A"}


def parsed(x509: Any, *, group: bool = False) -> X509 | None:
    document = {"attestation": {"type": "x509", "x509": x509}}
    return parse_attestation(Member("", document)["attestation"], group=group)[1]


@pytest.mark.parametrize(
    ("attestation", "group"),
    [
        (X509("clientCertificates", "PEM 1", "PEM 2", (INFO, None)), False),
        (X509("clientCertificates", "PEM 1"), False),
        (X509("signingCertificates", "PEM 1", "", (INFO, None)), True),
        (X509("caReferences", "plant", "other"), True),
        (X509("caReferences", "plant"), False),
    ],
)
def test_it_reads_back_whole_and_is_shown_without_its_certificates(attestation: X509, group: bool) -> None:
    document = attestation_json(("", ""), attestation, whole=True)
    assert parsed(document["x509"], group=group) == attestation
    assert "PEM" not in str(attestation_json(("", ""), attestation, whole=False))


@pytest.mark.parametrize(
    ("x509", "path"),
    [
        (None, "attestation.x509"),
        ({}, "attestation.x509"),
        ({"signingCertificates": {"primary": {"certificate": "PEM"}}}, "attestation.x509"),
        ({"clientCertificates": {}}, "attestation.x509.clientCertificates.primary"),
        ({"clientCertificates": {"primary": {}}}, "attestation.x509.clientCertificates.primary"),
        (
            {"clientCertificates": {"primary": {"certificate": 1}}},
            "attestation.x509.clientCertificates.primary.certificate",
        ),
        (
            {"clientCertificates": {"primary": {"certificate": "x" * 40_000}}},
            "attestation.x509.clientCertificates.primary.certificate",
        ),
        ({"caReferences": {"primary": ""}}, "attestation.x509.caReferences.primary"),
    ],
)
def test_a_broken_rule_is_named_by_its_path(x509: Any, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parsed(x509)
    assert caught.value.fields["path"] == path


def test_a_group_is_not_enrolled_by_the_certificate_of_one_device() -> None:
    with pytest.raises(InvalidInput):
        parsed({"clientCertificates": {"primary": {"certificate": "PEM"}}}, group=True)
