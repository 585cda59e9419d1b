"""How a device that is enrolled proves itself: by a symmetric key or by a certificate (contract.md §5.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skerry.contract.credentials import key_bytes
from skerry.contract.member import Member
from skerry.contract.resources import KEY_BYTES_MAX, KEY_BYTES_MIN
from skerry.errors import InvalidInput, Unsupported

ATTESTATIONS = ("symmetricKey", "x509", "tpm", "none")
# A device shows one of these certificates itself; one that they issued; one that a named authority issued.
CLIENT, SIGNING, AUTHORITY = "clientCertificates", "signingCertificates", "caReferences"
CERTIFICATE_CHARS_MAX = 32 * 1024

Json = dict[str, Any]
Keys = tuple[str, str]


@dataclass(frozen=True, slots=True)
class X509:
    """Two certificates (PEM) or, with AUTHORITY, names of authorities at the hub; the second may be empty.

    ``infos`` describe certificates to services, which do not get them back; one that comes with its
    description only is kept as it was.
    """

    source: str
    primary: str
    secondary: str = ""
    infos: tuple[Json | None, Json | None] = (None, None)

    @property
    def both(self) -> tuple[str, str]:
        return self.primary, self.secondary


def parse_attestation(attestation: Member, *, group: bool) -> tuple[Keys, X509 | None]:
    """Keys (an empty one is for the service to make, or to keep) or certificates.

    Raises InvalidInput, Unsupported.
    """
    kind = attestation["type"].one_of(ATTESTATIONS)
    if kind == "x509":
        return ("", ""), _x509(attestation["x509"], group=group)
    if kind != "symmetricKey":
        raise Unsupported(
            f"attestation by {kind} is not in this build",
            hint="enrol it with a symmetricKey or x509",
            path=attestation["type"].path,
        )
    keys = attestation["symmetricKey"]
    if not keys.given:
        return ("", ""), None
    return (parse_key(keys["primaryKey"]), parse_key(keys["secondaryKey"])), None


def attestation_json(keys: Keys, x509: X509 | None, *, whole: bool) -> Json:
    """The document; keys and certificates only ``whole``."""
    if x509 is None:
        shown = {"symmetricKey": {"primaryKey": keys[0], "secondaryKey": keys[1]}} if whole else {}
        return {"type": "symmetricKey", **shown}
    if x509.source == AUTHORITY:
        return {
            "type": "x509",
            "x509": {AUTHORITY: {"primary": x509.primary, "secondary": x509.secondary or None}},
        }
    pair = zip(("primary", "secondary"), x509.both, x509.infos, strict=True)
    certificates = {
        name: {**({"certificate": pem} if whole else {}), "info": info} for name, pem, info in pair if pem
    }
    return {"type": "x509", "x509": {x509.source: certificates}}


def parse_key(member: Member) -> str:
    """A symmetric key, empty when none is given; InvalidInput, which does not show it."""
    if not member.given or member.value == "":
        return ""
    expected = f"base64 of {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes"
    hidden = Member(member.path, None)
    if not isinstance(member.value, str):
        hidden.refuse(expected)
    try:
        size = len(key_bytes(member.value))
    except InvalidInput:
        hidden.refuse(expected)
    return member.value if KEY_BYTES_MIN <= size <= KEY_BYTES_MAX else hidden.refuse(expected)


def _x509(member: Member, *, group: bool) -> X509:
    allowed = (SIGNING, AUTHORITY) if group else (CLIENT, AUTHORITY)
    given = [source for source in (CLIENT, SIGNING, AUTHORITY) if member[source].given]
    if len(given) != 1 or given[0] not in allowed:
        member.refuse(f"one of {' and '.join(allowed)}")
    pair = member[given[0]]
    if given[0] == AUTHORITY:
        second = pair["secondary"]
        return X509(AUTHORITY, pair["primary"].text(), second.text(blank=True) if second.given else "")
    primary, info = _certificate(pair["primary"])
    secondary, other = _certificate(pair["secondary"]) if pair["secondary"].given else ("", None)
    if not primary and info is None:
        pair["primary"].refuse("a certificate")
    return X509(given[0], primary, secondary, (info, other))


def _certificate(member: Member) -> tuple[str, Json | None]:
    text, info = member["certificate"], member["info"]
    pem = text.text(blank=True) if text.given else ""
    if len(pem) > CERTIFICATE_CHARS_MAX:
        text.refuse(f"at most {CERTIFICATE_CHARS_MAX} characters")
    return pem, info.members() if info.given else None
