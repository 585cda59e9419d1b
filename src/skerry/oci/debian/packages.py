"""The package lists of a Debian archive: what they say, which version is newer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from skerry.errors import Damaged, NotFound


@dataclass(frozen=True, slots=True, order=True)
class LockedPackage:
    """One package to take: ``archive`` is ``debian`` or ``debian-security``, ``path`` is below its root."""

    name: str
    version: str
    archive: str
    path: str
    sha256: str


def paragraphs(text: str) -> Iterator[Mapping[str, str]]:
    """The paragraphs of a control file, folded fields joined by newlines (deb822(5))."""
    for block in re.split(r"\n(?:[ \t]*\n)+", text):
        fields: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t") and name:
                fields[name] += "\n" + line.strip()
            elif ":" in line:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if fields:
            yield fields


def listed_sha256(release: str, path: str) -> str:
    """The SHA-256 that a Release file gives for ``path``."""
    for fields in paragraphs(release):
        for line in fields.get("SHA256", "").splitlines():
            parts = line.split()
            if len(parts) == 3 and parts[2] == path:
                return parts[0]
    raise Damaged(f"the Release file does not list {path}", path=path)


def candidates(archive: str, packages: str, names: Iterable[str]) -> Iterator[LockedPackage]:
    """Every version of ``names`` in the text of a Packages file."""
    wanted = set(names)
    # Splitting before parsing spares the 60,000 paragraphs nobody asked for.
    for block in packages.split("\n\n"):
        if block[block.find(" ") + 1 : block.find("\n")] in wanted:
            for fields in paragraphs(block):
                yield LockedPackage(
                    fields["Package"], fields["Version"], archive, fields["Filename"], fields["SHA256"]
                )


def newest(found: Iterable[LockedPackage], names: Iterable[str]) -> list[LockedPackage]:
    """The newest version of each of ``names``, in that order; ``NotFound`` names what is missing."""
    best: dict[str, LockedPackage] = {}
    for package in found:
        held = best.get(package.name)
        if held is None or version_key(held.version) < version_key(package.version):
            best[package.name] = package
    missing = [name for name in names if name not in best]
    if missing:
        raise NotFound(f"the Debian archive has no {', '.join(missing)}", packages=missing)
    return [best[name] for name in names]


class _Part:
    """An upstream version or revision, ordered as Debian Policy §5.6.12 says."""

    def __init__(self, text: str) -> None:
        # Alternating: non-digits, digits, non-digits, …
        self._pieces = re.findall(r"(\D*)(\d*)", text)[:-1]

    def __lt__(self, other: _Part) -> bool:
        for mine, yours in zip_longest(self._pieces, other._pieces, fillvalue=("", "")):
            left, right = _lexical(mine[0]), _lexical(yours[0])
            if left != right:
                return left < right
            if int(mine[1] or 0) != int(yours[1] or 0):
                return int(mine[1] or 0) < int(yours[1] or 0)
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Part) and not self < other and not other < self


def version_key(version: str) -> tuple[int, _Part, _Part]:
    """Sorts Debian versions from old to new."""
    epoch, colon, rest = version.partition(":")
    upstream, dash, revision = (rest if colon else version).rpartition("-")
    return int(epoch) if colon else 0, _Part(upstream if dash else revision), _Part(revision if dash else "")


def _lexical(text: str) -> list[int]:
    """``~`` sorts before the end, letters before all else."""
    order = [-1 if char == "~" else ord(char) if char.isalpha() else ord(char) + 256 for char in text]
    return [*order, 0]
