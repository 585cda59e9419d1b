"""The public keys a machine trusts, as its settings name them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path

from skerry.errors import InvalidInput
from skerry.package.signature import KEY_BYTES

TRUSTED_KEYS = "SKERRY_TRUSTED_KEYS"
# A public key file is PEM of a SubjectPublicKeyInfo (RFC 8410 §4); for Ed25519 its DER has this prefix.
_DER_PREFIX = bytes.fromhex("302a300506032b6570032100")
_BEGIN, _END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"


def trusted_keys(environ: Mapping[str, str]) -> tuple[bytes, ...] | None:
    """The keys in the files that ``SKERRY_TRUSTED_KEYS`` names (separated by ``:``); None when it is unset.

    InvalidInput names a file that cannot be read or holds no key: a wrong setting must not mean no check.
    """
    text = environ.get(TRUSTED_KEYS, "").strip()
    if not text:
        return None
    return tuple(key for part in text.split(":") if part for key in read_public_keys(Path(part)))


def read_public_keys(path: Path) -> tuple[bytes, ...]:
    """The raw Ed25519 keys (32 bytes each) in a PEM file; InvalidInput when there is none."""
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"cannot read the public key file {path}: {exc}", path=str(path)) from exc
    keys = parse_public_keys(text)
    if not keys:
        raise InvalidInput(
            f"{path} holds no Ed25519 public key", hint="make one with: skerry model keygen", path=str(path)
        )
    return keys


def parse_public_keys(text: str) -> tuple[bytes, ...]:
    """The raw keys of every ``PUBLIC KEY`` block in ``text`` that is an Ed25519 key."""
    keys = []
    for block in text.split(_BEGIN)[1:]:
        try:
            der = base64.b64decode("".join(block.split(_END)[0].split()), validate=True)
        except binascii.Error:
            continue
        if der.startswith(_DER_PREFIX) and len(der) == len(_DER_PREFIX) + KEY_BYTES:
            keys.append(der[len(_DER_PREFIX) :])
    return tuple(keys)


def public_key_text(key: bytes) -> str:
    """The PEM file of one raw key."""
    return f"{_BEGIN}\n{base64.b64encode(_DER_PREFIX + key).decode()}\n{_END}\n"
