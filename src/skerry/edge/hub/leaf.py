"""What is known of a leaf device by which it proves itself: keys, thumbprints, or that an authority does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Leaf:
    """Exactly one of the three ways; keys are base64."""

    keys: tuple[str, ...] = field(default=(), repr=False)
    thumbprints: tuple[str, ...] = ()
    by_authority: bool = False

    @property
    def by_certificate(self) -> bool:
        return not self.keys

    def to_json(self) -> dict[str, Any]:
        return {
            "keys": list(self.keys),
            "thumbprints": list(self.thumbprints),
            "byAuthority": self.by_authority,
        }

    @classmethod
    def from_json(cls, document: Any) -> Leaf:
        """What ``to_json`` gave; a bare list of keys is of an earlier release."""
        if isinstance(document, list):
            return cls(tuple(document))
        return cls(tuple(document["keys"]), tuple(document["thumbprints"]), bool(document["byAuthority"]))


def parse_leaf(device: Mapping[str, Any]) -> Leaf | None:
    """A device of the registry as a leaf; None when it proves itself in no way that works here."""
    authentication = device.get("authentication") or {}
    match authentication.get("type", "sas"):
        case "selfSigned":
            both = authentication.get("x509Thumbprint") or {}
            prints = [both.get("primaryThumbprint"), both.get("secondaryThumbprint")]
            given = tuple(one for one in prints if one)
            return Leaf(thumbprints=given) if given else None
        case "certificateAuthority":
            return Leaf(by_authority=True)
        case _:
            symmetric = authentication.get("symmetricKey") or {}
            keys = tuple(key for key in (symmetric.get("primaryKey"), symmetric.get("secondaryKey")) if key)
            return Leaf(keys) if keys else None
