"""Values nobody can guess: keys, etags, generation ids, tracking ids."""

from __future__ import annotations

import base64
import secrets

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


def fresh_tracking() -> str:
    """The id an error answer carries, so that a person can find it in the log."""
    return secrets.token_hex(16).upper()
