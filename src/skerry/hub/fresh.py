"""Values nobody can guess: keys, etags, generation ids, tracking ids."""

from __future__ import annotations

import base64
import secrets
import uuid

KEY_BYTES = 32


def fresh_key() -> str:
    """A new symmetric key, base64 of 32 random bytes."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def fresh_etag() -> str:
    """An etag no object had before; random, so that a re-created object never matches an old one."""
    return base64.b64encode(secrets.token_bytes(9)).decode()


def fresh_generation() -> str:
    """A generation id as Azure's look: 18 decimal digits."""
    return f"{secrets.randbelow(9 * 10**17) + 10**17}"


def fresh_scope() -> str:
    """The id scope of a provisioning service, as Azure's look; it is no secret."""
    return f"0ne{secrets.token_hex(4).upper()}"


def fresh_operation() -> str:
    """The id by which a device asks what became of its registration, as Azure's look."""
    return f"4.{secrets.token_hex(8)}.{uuid.uuid4()}"


def fresh_verification() -> str:
    """What the owner of an authority has to sign with its key, as Azure's look."""
    return secrets.token_hex(24).upper()


def fresh_lock() -> str:
    """A lock token or message id, as Azure's look."""
    return str(uuid.uuid4())


def fresh_tracking() -> str:
    """The id an error answer carries, so that a person can find it in the log."""
    return secrets.token_hex(16).upper()
