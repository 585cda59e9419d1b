"""Keys that vouch for packages: Ed25519 in PEM files, the private one for its owner's eyes only."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skerry.errors import AlreadyExists, InvalidInput, NotFound
from skerry.package.manifest import MANIFEST, Package
from skerry.package.signature import (
    SIGNATURE,
    ed25519,
    key_id,
    parse_signatures,
    signature_document,
    signed_bytes,
)
from skerry.package.trust import public_key_text

PRIVATE_MODE = 0o600


def generate_keys(private: Path) -> tuple[Path, str]:
    """A new key pair in ``private`` (mode 0600) and ``<private>.pub``; the latter and the key's id.

    AlreadyExists rather than overwrite: packages signed with a lost key can never be signed again.
    """
    public = public_path(private)
    for path in (private, public):
        if path.exists():
            raise AlreadyExists(f"{path} exists", hint="name another file", path=str(path))
    private.parent.mkdir(parents=True, exist_ok=True)
    key = ed25519().Ed25519PrivateKey.generate()
    handle = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
    with os.fdopen(handle, "wb") as file:
        file.write(_pem(key))
    raw = _public_bytes(key)
    public.write_text(public_key_text(raw))
    return public, key_id(raw)


def public_path(private: Path) -> Path:
    """Where the public half of ``private`` lies."""
    return private.with_name(f"{private.name}.pub")


def package_signer(private: Path) -> Callable[[bytes], bytes]:
    """What gives ``signature.json`` for a manifest's bytes, with the key in ``private``.

    NotFound without the file, InvalidInput when it is no Ed25519 key or others may read it.
    """
    key = _read_private(private)
    public = _public_bytes(key)
    return lambda manifest: signature_document([(public, key.sign(signed_bytes(manifest)))])


def sign_package(directory: Path, private: Path) -> str:
    """Add the key's signature to the package; the key's id. Signatures of other keys stay.

    Raises as ``Package.open`` does for a package that is not whole: only what is intact is vouched for.
    """
    sign = package_signer(private)
    Package.open(directory)
    document = sign((directory / MANIFEST).read_bytes())
    ours = parse_signatures(document)
    path = directory / SIGNATURE
    kept = parse_signatures(path.read_bytes()) if path.is_file() else []
    others = [entry for entry in kept if entry[0] != ours[0][0]]
    fresh = path.with_name(f".{SIGNATURE}.new")
    fresh.write_bytes(signature_document([*others, *ours]))
    os.replace(fresh, path)
    return key_id(ours[0][0])


def _read_private(path: Path) -> Any:
    from cryptography.hazmat.primitives import serialization

    try:
        data, mode = path.read_bytes(), stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError as exc:
        raise NotFound(
            f"no key file {path}", hint="make one with: skerry model keygen", path=str(path)
        ) from exc
    if mode & 0o077:
        raise InvalidInput(
            f"others may read the private key {path} (mode {mode:o})",
            hint=f"chmod 600 {path}",
            path=str(path),
        )
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as exc:
        raise InvalidInput(f"{path} is not a private key in PEM without a password", path=str(path)) from exc
    if not isinstance(key, ed25519().Ed25519PrivateKey):
        raise InvalidInput(f"{path} is not an Ed25519 key", path=str(path))
    return key


def _pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem


def _public_bytes(key: Any) -> bytes:
    raw: bytes = key.public_key().public_bytes_raw()
    return raw
