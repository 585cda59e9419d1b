"""Follows the desired properties of a twin: notifications may be missed, versions tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skerry.contract.twin import difference, merge

Patch = dict[str, Any]
Change = tuple[Patch, int]


class DesiredFollower:
    """Turns notifications and whole twins into a gapless series of patches.

    Notifications that arrive while a twin is awaited are held: the twin may be older or newer than they are.
    """

    def __init__(self) -> None:
        self._document: Patch = {}
        self._version: int | None = None
        self._held: list[Change] | None = None

    @property
    def syncing(self) -> bool:
        """Whether a whole twin is awaited."""
        return self._held is not None

    def await_twin(self) -> None:
        """A twin was asked for: hold notifications until ``twin``."""
        self._held = self._held or []

    def notified(self, patch: Mapping[str, Any], version: int) -> list[Change] | None:
        """The changes to hand on; None when notifications were missed and the twin must be asked for."""
        values = _values(patch)
        if self._held is not None:
            self._held.append((values, version))
            return []
        if self._version is None or version > self._version + 1:
            self._held = [(values, version)]
            return None
        if version <= self._version:
            return []
        return [self._apply(values, version)]

    def twin(self, desired: Mapping[str, Any]) -> list[Change]:
        """The changes that lead to the twin's ``desired`` section, and those held that are newer."""
        version = int(desired.get("$version", 0))
        if self._held is None and self._version is not None and version <= self._version:
            return []  # the second answer to a question that was asked twice
        held, self._held = self._held or [], None
        changes: list[Change] = []
        # Another version, not only a higher one: a device deleted and made anew counts from 1 again.
        if version != self._version:
            values = _values(desired)
            changes.append(({**difference(self._document, values), "$version": version}, version))
            self._document, self._version = values, version
        for patch, later in held:
            if later > version:
                changes.append(self._apply(patch, later))
                version = later
        return changes

    def _apply(self, patch: Patch, version: int) -> Change:
        self._document, self._version = merge(self._document, patch), version
        return {**patch, "$version": version}, version


def _values(document: Mapping[str, Any]) -> Patch:
    return {name: value for name, value in document.items() if name not in ("$version", "$metadata")}
