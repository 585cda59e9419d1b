"""What the device knows of one twin: desired part, own reported part, what the hub has of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from skerry.contract.twin import difference, merge

Document = dict[str, Any]


@dataclass(frozen=True)
class CachedTwin:
    """A twin between two contacts with the hub. Only this device writes ``reported``, so it is the truth.

    ``confirmed`` is the reported part the hub is known to have; the rest is still to be sent. ``known`` is
    False until the hub was reached once.
    """

    desired: Document = field(default_factory=dict)
    desired_version: int = 0
    reported: Document = field(default_factory=dict)
    reported_version: int = 0
    confirmed: Document = field(default_factory=dict)
    known: bool = False

    @property
    def pending(self) -> Document:
        """The patch the hub still lacks; empty when it has everything."""
        return difference(self.confirmed, self.reported)

    def view(self) -> Document:
        """As a device gets it (contract.md §2.6)."""
        return {
            "desired": {**self.desired, "$version": self.desired_version},
            "reported": {**self.reported, "$version": self.reported_version},
        }

    def reporting(self, patch: Document) -> CachedTwin:
        """With the owner's patch applied, one version later."""
        reported = merge(self.reported, _plain(patch))
        return replace(self, reported=reported, reported_version=self.reported_version + 1)

    def confirming(self, patch: Document, version: int | None) -> CachedTwin:
        """The hub took ``patch`` and its reported part has ``version`` now."""
        reported_version = max(self.reported_version, version or 0)
        return replace(self, confirmed=merge(self.confirmed, patch), reported_version=reported_version)

    def synced(self, document: Document) -> CachedTwin:
        """After reading the whole twin from the hub; what was not sent yet stays ahead of the hub's."""
        desired, theirs = document.get("desired") or {}, document.get("reported") or {}
        reported = merge(_plain(theirs), self.pending)
        return CachedTwin(
            desired=_plain(desired),
            desired_version=int(desired.get("$version", 0)),
            reported=reported,
            reported_version=max(
                int(theirs.get("$version", 0)), self.reported_version if self.pending else 0
            ),
            confirmed=_plain(theirs),
            known=True,
        )

    def follows(self, version: int) -> bool:
        """Whether a desired patch of ``version`` is the very next one."""
        return self.known and version == self.desired_version + 1

    def patched(self, patch: Document, version: int) -> CachedTwin:
        """With the hub's desired patch applied."""
        return replace(self, desired=merge(self.desired, _plain(patch)), desired_version=version)

    def desired_change(self, newer: CachedTwin) -> Document | None:
        """The patch, with ``$version``, that tells a client of ``newer``; None when it has nothing new."""
        change = difference(self.desired, newer.desired)
        if not change and newer.desired_version == self.desired_version:
            return None
        return {**change, "$version": newer.desired_version}

    def to_json(self) -> Document:
        return {
            "desired": self.desired,
            "desiredVersion": self.desired_version,
            "reported": self.reported,
            "reportedVersion": self.reported_version,
            "confirmed": self.confirmed,
            "known": self.known,
        }

    @classmethod
    def from_json(cls, document: Document) -> CachedTwin:
        return cls(
            document["desired"],
            document["desiredVersion"],
            document["reported"],
            document["reportedVersion"],
            document["confirmed"],
            document["known"],
        )


UNKNOWN_TWIN = CachedTwin()


def _plain(section: Document) -> Document:
    """Without what the hub itself writes beside the properties."""
    return {name: value for name, value in section.items() if not name.startswith("$")}
