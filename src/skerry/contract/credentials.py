"""What an identity proves itself with: connection strings, SAS tokens (contract.md §1.1, §1.2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.errors import InvalidInput, NotAuthenticated

Signer = Callable[[bytes], bytes]

# Longer than any real one (a key of 64 bytes and three ids), short enough to scan without thought.
CREDENTIAL_CHARS_MAX = 4096
SCHEME = "SharedAccessSignature"
_KEYS = {
    "HostName": "host_name",
    "DeviceId": "device_id",
    "ModuleId": "module_id",
    "SharedAccessKeyName": "shared_access_key_name",
    "SharedAccessKey": "shared_access_key",
    "SharedAccessSignature": "shared_access_signature",
    "GatewayHostName": "gateway_host_name",
    "x509": "x509",
}
_SHAPE_HINT = "it looks like HostName=…;DeviceId=…;SharedAccessKey=…"
_EXPIRY = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class ConnectionString:
    """Where an identity connects, with what; str and repr never show the key or the signature."""

    host_name: str
    device_id: DeviceId | None = None
    module_id: ModuleId | None = None
    shared_access_key: str | None = field(default=None, repr=False)
    shared_access_key_name: str | None = None
    shared_access_signature: str | None = field(default=None, repr=False)
    gateway_host_name: str | None = None
    x509: bool = False

    def __post_init__(self) -> None:
        for name in ("host_name", "gateway_host_name", "shared_access_key_name"):
            _check_text(name, getattr(self, name))
        if not self.host_name:
            raise InvalidInput("connection string has no HostName", hint=_SHAPE_HINT, field="HostName")
        if self.device_id is None and self.shared_access_key_name is None:
            raise InvalidInput(
                "connection string names neither a device nor a policy",
                hint="a device needs DeviceId, a service needs SharedAccessKeyName",
                field="DeviceId",
            )
        if self.module_id is not None and self.device_id is None:
            raise InvalidInput("ModuleId needs a DeviceId", field="ModuleId")
        secrets = [self.shared_access_key is not None, self.shared_access_signature is not None, self.x509]
        if sum(secrets) != 1:
            raise InvalidInput(
                "connection string needs exactly one credential",
                hint="give one of SharedAccessKey, SharedAccessSignature, x509=true",
                field="SharedAccessKey",
            )
        if self.shared_access_key is not None:
            key_bytes(self.shared_access_key)
        if self.shared_access_signature is not None:
            _check_signature(self.shared_access_signature)

    @classmethod
    def parse(cls, text: str) -> ConnectionString:
        """The connection string written as ``Key=Value;…``; InvalidInput names the field at fault."""
        items = _split_pairs(text)
        return cls(
            host_name=items.get("HostName", ""),
            device_id=DeviceId(items["DeviceId"]) if "DeviceId" in items else None,
            module_id=ModuleId(items["ModuleId"]) if "ModuleId" in items else None,
            shared_access_key=items.get("SharedAccessKey"),
            shared_access_key_name=items.get("SharedAccessKeyName"),
            shared_access_signature=items.get("SharedAccessSignature"),
            gateway_host_name=items.get("GatewayHostName"),
            x509=items.get("x509", "").lower() == "true",
        )

    def render(self) -> str:
        """The text form, secret included: for a file or a person who asked for it, never for a log."""
        parts = []
        for key, name in _KEYS.items():
            value = getattr(self, name)
            if value is not None and value is not False:
                parts.append(f"{key}={'true' if value is True else value}")
        return ";".join(parts)

    def __str__(self) -> str:
        return repr(self)

    @property
    def identity(self) -> Identity:
        """Whom this string is for; InvalidInput when it is a service's (it has a policy, no device)."""
        if self.device_id is None:
            raise InvalidInput(
                "connection string is a service's, it names no device",
                hint="take the device's own: skerry device connection-string",
                field="DeviceId",
            )
        return Identity(self.device_id, self.module_id)


def _split_pairs(text: str) -> dict[str, str]:
    if len(text) > CREDENTIAL_CHARS_MAX:
        raise InvalidInput("connection string is too long", chars_max=CREDENTIAL_CHARS_MAX)
    items: dict[str, str] = {}
    for part in text.strip().split(";"):
        if not part:
            continue
        key, equals, value = part.partition("=")
        if not equals or key not in _KEYS:
            # The piece is not shown: a mistyped key may sit in front of a secret.
            raise InvalidInput("connection string has an unknown part", hint=f"known: {', '.join(_KEYS)}")
        if key in items:
            raise InvalidInput("connection string has a part twice", field=key)
        items[key] = value
    return items


def _check_text(name: str, value: str | None) -> None:
    if value is not None and any(c in ";" or c.isspace() or not c.isprintable() for c in value):
        raise InvalidInput("connection string part holds ';', a blank or a control character", field=name)


def _check_signature(text: str) -> None:
    if ";" in text:
        raise InvalidInput("the signature holds ';'", field="SharedAccessSignature")
    try:
        SasToken.parse(text)
    except NotAuthenticated as exc:
        raise InvalidInput(exc.what, field="SharedAccessSignature") from exc


@dataclass(frozen=True, slots=True)
class SasToken:
    """A token as it stands: the raw texts that were signed, the signature, the policy if one is named."""

    resource_text: str
    signature: bytes = field(repr=False)
    expiry_text: str
    policy: str | None = None

    @classmethod
    def parse(cls, text: str) -> SasToken:
        """The token in ``text``, fields in any order; NotAuthenticated (reason ``malformed``) otherwise."""
        scheme, blank, rest = text.partition(" ")
        if len(text) > CREDENTIAL_CHARS_MAX or scheme != SCHEME or not blank:
            raise _refused("malformed", "not a shared access signature")
        fields = _split_fields(rest)
        signature = _signature(fields["sig"])
        if not _EXPIRY.fullmatch(fields["se"]):
            raise _refused("malformed", "the expiry is not a number of seconds")
        return cls(fields["sr"], signature, fields["se"], unquote(fields.get("skn", "")) or None)

    @property
    def resource(self) -> str:
        """The audience, decoded."""
        return unquote(self.resource_text)

    @property
    def expiry(self) -> float:
        """When it ends, in unix seconds."""
        return float(self.expiry_text)


def _signature(text: str) -> bytes:
    """The bytes of a URL-encoded base64 text; only the one canonical spelling counts."""
    try:
        plain = unquote(text, errors="strict")
        signature = base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _refused("malformed", "the signature is not base64") from exc
    # The last digit has bits that decoding ignores: another spelling would be another valid token.
    if base64.b64encode(signature).decode() != plain:
        raise _refused("malformed", "the signature is not canonical base64")
    return signature


def _split_fields(text: str) -> Mapping[str, str]:
    fields: dict[str, str] = {}
    for part in text.strip().split("&"):
        key, equals, value = part.partition("=")
        if not equals or key in fields:
            raise _refused("malformed", "a field has no value or stands twice")
        fields[key] = value
    if not {"sr", "sig", "se"} <= fields.keys():
        raise _refused("malformed", "one of sr, sig, se is missing")
    return fields


def key_bytes(key_base64: str) -> bytes:
    """The bytes of a symmetric key; InvalidInput, without the key, when it is not base64 or is empty."""
    try:
        key = base64.b64decode(key_base64, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidInput(
            "the symmetric key is not base64",
            hint="copy the connection string anew, whole",
            field="SharedAccessKey",
        ) from exc
    if not key:
        raise InvalidInput("the symmetric key is empty", field="SharedAccessKey")
    return key


def key_signer(key_base64: str) -> Signer:
    """HMAC-SHA256 with this key; InvalidInput when the key is not base64."""
    key = key_bytes(key_base64)

    def sign(data: bytes) -> bytes:
        return hmac.digest(key, data, hashlib.sha256)

    return sign


def string_to_sign(resource_text: str, expiry_text: str) -> bytes:
    """What the signature covers: both texts exactly as they stand in the token (contract.md §1.2)."""
    return f"{resource_text}\n{expiry_text}".encode("utf-8", "surrogatepass")


def make_token(resource: str, signer: Signer, expiry: int, policy: str | None = None) -> str:
    """A SAS token for the decoded ``resource``, valid to ``expiry`` (unix seconds)."""
    resource_text, expiry_text = quote(resource, safe=""), str(expiry)
    signature = base64.b64encode(signer(string_to_sign(resource_text, expiry_text))).decode()
    token = f"{SCHEME} sr={resource_text}&sig={quote(signature, safe='')}&se={expiry_text}"
    return token if policy is None else f"{token}&skn={quote(policy, safe='')}"


def verify_token(token: SasToken, keys: Sequence[str], resources: Sequence[str], now: float) -> None:
    """Return when one of ``keys`` (base64) made it, it lasts beyond ``now``, it is for one of ``resources``.

    Otherwise NotAuthenticated with ``reason`` signature, expired or audience: checked in this order, the
    signature in constant time per key, the decoded audience ignoring case (contract.md §1.2).
    """
    signed = string_to_sign(token.resource_text, token.expiry_text)
    if not any(hmac.compare_digest(key_signer(key)(signed), token.signature) for key in keys):
        raise _refused(
            "signature",
            "the signature was not made with a key of this identity",
            "check the key in the connection string",
        )
    if not math.isfinite(token.expiry) or token.expiry <= now:
        raise _refused("expired", "the token has expired", "check the clock of the client")
    if token.resource.casefold() not in {resource.casefold() for resource in resources}:
        raise _refused("audience", "the token is for another resource")


def _refused(reason: str, what: str, hint: str = "") -> NotAuthenticated:
    return NotAuthenticated(what, hint=hint, reason=reason)
