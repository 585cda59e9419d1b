"""The hash chain of a sender's messages: each names the digest of the one before it (docs/decisions/0004)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from skerry.contract.json_text import compact

# Ours, on every message to the hub: its number, the life of the device's store it counts in, and the digest
# of the message before it, which for number 1 is the epoch itself.
SEQUENCE_PROPERTY = "skerry-seq"
EPOCH_PROPERTY = "skerry-epoch"
PREVIOUS_PROPERTY = "skerry-prev"
OURS = frozenset({SEQUENCE_PROPERTY, EPOCH_PROPERTY, PREVIOUS_PROPERTY})

# Of the system properties those that a sender says and every hub hands on as they are.
_SYSTEM = ("contentType", "contentEncoding", "correlationId", "messageId")
# 96 bits: 16 characters in a bag. Nobody who alters one message finds another with its digest.
DIGEST_BYTES = 12


@dataclass(frozen=True, slots=True)
class Link:
    """A message in its chain: the digest it names, the digest it has."""

    previous: str
    own: str


def properties_digest(properties: Mapping[str, str | None], system: Mapping[str, str]) -> bytes:
    """Of what a sender said beside the body, whatever the order; a sender mostly repeats it."""
    said = sorted((name, value) for name, value in properties.items() if name not in OURS)
    known = [system.get(name) for name in _SYSTEM]
    return hashlib.blake2b(compact([said, known]).encode(), digest_size=16).digest()


def digest(previous: str, number: int, properties: bytes, body: bytes) -> str:
    """A message's own digest, in characters that need no encoding."""
    hashed = hashlib.blake2b(b"%b %d " % (previous.encode(), number), digest_size=DIGEST_BYTES)
    hashed.update(properties)
    hashed.update(body)
    return base64.urlsafe_b64encode(hashed.digest()).decode()


def link_of(
    number: int, properties: Mapping[str, str | None], system: Mapping[str, str], body: bytes
) -> Link | None:
    """The link of a message as it arrived; None for one outside a chain."""
    previous = properties.get(PREVIOUS_PROPERTY)
    if not previous or len(previous) > 64 or not previous.isascii():
        return None
    return Link(previous, digest(previous, number, properties_digest(properties, system), body))
