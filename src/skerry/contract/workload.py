"""The workload API between a module and the edge daemon, as JSON (contract.md §3.2, §3.3)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import quote

from skerry.contract.json_text import Json
from skerry.contract.member import Member

API_VERSION = "2020-07-07"
API_VERSIONS = (
    "2018-06-28",
    "2019-01-30",
    "2019-10-22",
    "2019-11-05",
    "2020-07-07",
    "2021-12-07",
    "2022-08-03",
)
TRUST_BUNDLE_PATH = "/trust-bundle"
MODULES_PATH = "/modules"
# A module signs ``{sr}\n{se}``; nothing else it has to sign comes near this.
SIGNED_BYTES_MAX = 8 * 1024
COMMON_NAME_CHARS_MAX = 253
TIME_CHARS_MAX = 64


def sign_path(module: str, generation: str) -> str:
    """Where a module has its digests made."""
    return f"{_module_path(module, generation)}/sign"


def server_certificate_path(module: str, generation: str) -> str:
    """Where a module gets a server certificate."""
    return f"{_module_path(module, generation)}/certificate/server"


def with_version(path: str, version: str = API_VERSION) -> str:
    """``path`` with the api-version every call carries."""
    return f"{path}?api-version={version}"


@dataclass(frozen=True, slots=True)
class SignRequest:
    """Bytes to be signed with a module's key (HMAC-SHA256)."""

    data: bytes
    key_id: str = "primary"

    @classmethod
    def parse(cls, document: Json) -> SignRequest:
        """The request in a body; InvalidInput with ``path`` when it breaks a rule."""
        root = Member("", document)
        key_id = root["keyId"].one_of(["primary", "secondary"])
        root["algo"].one_of(["HMACSHA256"])
        data = _base64(root["data"])
        if not 0 < len(data) <= SIGNED_BYTES_MAX:
            root["data"].refuse(f"1 to {SIGNED_BYTES_MAX} bytes")
        return cls(data, key_id)

    def to_json(self) -> dict[str, str]:
        """The body of the call."""
        return {"keyId": self.key_id, "algo": "HMACSHA256", "data": base64.b64encode(self.data).decode()}


@dataclass(frozen=True, slots=True)
class ServerCertificateRequest:
    """A server certificate wanted for ``common_name`` until ``expiration`` (RFC 3339 text)."""

    common_name: str
    expiration: str

    @classmethod
    def parse(cls, document: Json) -> ServerCertificateRequest:
        """The request in a body; InvalidInput with ``path`` when it breaks a rule."""
        root = Member("", document)
        return cls(
            _bounded(root["commonName"], COMMON_NAME_CHARS_MAX), _bounded(root["expiration"], TIME_CHARS_MAX)
        )

    def to_json(self) -> dict[str, str]:
        """The body of the call."""
        return {"commonName": self.common_name, "expiration": self.expiration}


def sign_response(digest: bytes) -> dict[str, str]:
    """The answer to a sign call."""
    return {"digest": base64.b64encode(digest).decode()}


def parse_sign_response(document: Json) -> bytes:
    """The digest in the answer; InvalidInput when there is none."""
    return _base64(Member("", document)["digest"])


def trust_bundle_response(pem: str) -> dict[str, str]:
    """The answer to a trust bundle call: PEM text, not base64 (contract.md §0 rule 7)."""
    return {"certificate": pem}


def parse_trust_bundle_response(document: Json) -> str:
    """The PEM text in the answer; InvalidInput when there is none."""
    return Member("", document)["certificate"].text()


def server_certificate_response(certificate_pem: str, key_pem: str, expiration: str) -> dict[str, Json]:
    """The answer (201) to a server certificate call: the chain leaf first."""
    return {
        "privateKey": {"type": "key", "bytes": key_pem},
        "certificate": certificate_pem,
        "expiration": expiration,
    }


def error_response(text: str) -> dict[str, str]:
    """The body of every refusal."""
    return {"message": text}


def _module_path(module: str, generation: str) -> str:
    return f"{MODULES_PATH}/{quote(module, safe='')}/genid/{quote(generation, safe='')}"


def _base64(member: Member) -> bytes:
    try:
        return base64.b64decode(member.text(blank=True), validate=True)
    except (binascii.Error, ValueError):
        member.refuse("base64 text")


def _bounded(member: Member, chars_max: int) -> str:
    text = member.text()
    return text if len(text) <= chars_max else member.refuse(f"at most {chars_max} characters")
