"""A lock of Python packages: exact versions with the hashes of their files (pip's requirements format)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from skerry.errors import InvalidInput

PIN = re.compile(r"([A-Za-z0-9._-]+)==(\S+)((?:\s+--hash=sha256:[0-9a-f]{64})+)")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One package at one version; ``hashes`` are the SHA-256 hex digests of the files it may come as."""

    name: str
    version: str
    hashes: frozenset[str]

    def __str__(self) -> str:
        hashes = "".join(f" --hash=sha256:{digest}" for digest in sorted(self.hashes))
        return f"{self.name}=={self.version}{hashes}"


def parse_lock(text: str) -> dict[str, Requirement]:
    """The requirements by normalised name. ``InvalidInput`` for a line that is no pin with hashes."""
    found: dict[str, Requirement] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = PIN.fullmatch(line.strip())
        if match is None:
            raise InvalidInput("not a pinned requirement with hashes", value=line.strip()[:200])
        name = normal_name(match[1])
        found[name] = Requirement(name, match[2], frozenset(re.findall(r"sha256:([0-9a-f]{64})", match[3])))
    return found


def pick(lock: dict[str, Requirement], names: Iterable[str]) -> list[Requirement]:
    """The requirements called ``names``, in that order; ``InvalidInput`` names one the lock lacks."""
    chosen = []
    for name in names:
        if normal_name(name) not in lock:
            raise InvalidInput(f"{name} is not in the lock", field="name", value=name)
        chosen.append(lock[normal_name(name)])
    return chosen


def normal_name(name: str) -> str:
    """The one spelling of a project's name (PyPA specification, name normalisation)."""
    return re.sub(r"[-_.]+", "-", name).lower()
