"""Who vouches for a package: Ed25519 (RFC 8032) over its canonical manifest, hence over every file in it.

``signature.json`` lies beside the manifest and is not named by it. What is signed is ``CONTEXT`` followed by
the manifest's bytes, so that a signature made for another purpose never fits.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib
from collections.abc import Sequence
from typing import Any

from skerry.errors import Damaged, NotAllowed, Unavailable
from skerry.package.document import Reader, canonical_json, parse_json

SIGNATURE = "signature.json"
SCHEMA = "skerry.signature/1"
CONTEXT = b"skerry.package/1 ed25519\n"
KEY_BYTES = 32
HINT = "sign it with: skerry model sign, or trust its key"


def key_id(public_key: bytes) -> str:
    """``ed25519:`` and the first 16 hex digits of the SHA-256 of the raw public key: what people compare."""
    return "ed25519:" + hashlib.sha256(public_key).hexdigest()[:16]


def signed_bytes(manifest: bytes) -> bytes:
    """What the signature is over."""
    return CONTEXT + manifest


def signature_document(signatures: Sequence[tuple[bytes, bytes]]) -> bytes:
    """``signature.json`` of (raw public key, signature) pairs."""
    entries = [
        {
            "algorithm": "ed25519",
            "keyId": key_id(key),
            "publicKey": base64.b64encode(key).decode(),
            "signature": base64.b64encode(signature).decode(),
        }
        for key, signature in sorted(signatures)
    ]
    return canonical_json({"schema": SCHEMA, "signatures": entries})


def parse_signatures(document: bytes) -> list[tuple[bytes, bytes]]:
    """The reverse; InvalidInput or Damaged when it is no such document."""
    reader = Reader(parse_json(document, SIGNATURE))
    reader.choice("schema", (SCHEMA,))
    found = []
    for i, item in enumerate(reader.items("signatures")):
        entry = Reader(item, f"signatures[{i}]")
        entry.choice("algorithm", ("ed25519",))
        found.append((_decoded(entry.text("publicKey")), _decoded(entry.text("signature"))))
    return found


def require_signature(manifest: bytes, document: bytes | None, trusted_keys: Sequence[bytes]) -> str:
    """The id of the trusted key (raw, 32 bytes) that signed ``manifest``.

    NotAllowed for a package that is unsigned or signed by others only; Damaged, naming the manifest, when a
    trusted key's signature is not over these bytes.
    """
    trusted = ", ".join(key_id(key) for key in trusted_keys) or "none"
    if document is None:
        raise NotAllowed("the package is not signed", hint=HINT, trusted=trusted)
    signatures = parse_signatures(document)
    for key, signature in signatures:
        if key not in trusted_keys:
            continue
        if not signature_fits(key, signature, signed_bytes(manifest)):
            raise Damaged(
                f"manifest.json is not what {key_id(key)} signed",
                hint="build or download the package again",
                path="manifest.json",
            )
        return key_id(key)
    signers = ", ".join(key_id(key) for key, _ in signatures) or "nobody"
    raise NotAllowed(f"the package is signed by {signers}, which is not trusted", hint=HINT, trusted=trusted)


def signature_fits(public_key: bytes, signature: bytes, data: bytes) -> bool:
    """Whether ``signature`` is the key's over ``data``; Unavailable without the cryptography package."""
    module = ed25519()
    invalid = importlib.import_module("cryptography.exceptions").InvalidSignature
    try:
        module.Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (invalid, ValueError):
        return False
    return True


def ed25519() -> Any:
    """The implementation, loaded where it is needed only: a device without trusted keys needs none."""
    try:
        return importlib.import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    except ImportError as exc:
        raise Unavailable(
            "checking a signature needs the cryptography package", hint="pip install cryptography"
        ) from exc


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise Damaged(f"{SIGNATURE} cannot be read: {exc}", path=SIGNATURE) from exc
