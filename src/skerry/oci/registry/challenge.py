"""What a registry asks for when it does not know who calls (RFC 9110 §11.6.1; distribution, token spec)."""

from __future__ import annotations

import re
from dataclasses import dataclass

# auth-param = token "=" ( token / quoted-string )
_PARAMETER = re.compile(r'\s*,?\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_SCHEME = re.compile(r"\s*(Basic|Bearer)(?:\s+|$)", re.IGNORECASE)
HEADER_CHARACTERS_MAX = 4096


@dataclass(frozen=True, slots=True)
class Basic:
    """Name and password with every request."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token from ``realm``."""

    realm: str
    service: str
    scope: str


def parse_challenge(header: str) -> Basic | Bearer | None:
    """The challenge in a ``WWW-Authenticate`` header; None when it is of no kind we know."""
    header = header[:HEADER_CHARACTERS_MAX]
    match = _SCHEME.match(header)
    if match is None:
        return None
    if match[1].lower() == "basic":
        return Basic()
    found: dict[str, str] = {}
    position = match.end()
    while (parameter := _PARAMETER.match(header, position)) is not None:
        name, quoted, plain = parameter.groups()
        found[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
        position = parameter.end()
    if not found.get("realm"):
        return None
    return Bearer(found["realm"], found.get("service", ""), found.get("scope", ""))
