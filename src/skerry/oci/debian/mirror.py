"""Where Debian's packages come from: what the caller says, the machine's own mirror, or Debian's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from skerry.errors import InvalidInput
from skerry.oci.debian.packages import paragraphs

RELEASE = "bookworm"
ARCHIVES = {"debian": RELEASE, "debian-security": f"{RELEASE}-security"}
MIRROR_VARIABLE = "SKERRY_DEBIAN_MIRROR"
SECURITY_VARIABLE = "SKERRY_DEBIAN_SECURITY_MIRROR"
DEBIAN = "http://deb.debian.org/debian"
SECURITY = "http://deb.debian.org/debian-security"
ONE_LINE = re.compile(r"deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)")


@dataclass(frozen=True, slots=True)
class Mirror:
    """The roots of Debian's two archives, by http or https, without a slash at the end."""

    debian: str = DEBIAN
    security: str = SECURITY

    def __post_init__(self) -> None:
        for url in (self.debian, self.security):
            if not re.fullmatch(r"https?://[^\s@]+[^\s@/]", url):
                raise InvalidInput(
                    "not the address of a Debian mirror",
                    hint="it begins with http:// or https:// and holds no password",
                    field="mirror",
                )

    def root(self, archive: str) -> str:
        """The root of ``debian`` or ``debian-security``."""
        return self.security if archive == "debian-security" else self.debian


def find_mirror(environ: Mapping[str, str], etc: Path = Path("/etc")) -> Mirror:
    """The mirror named in the environment, else the one apt uses on a Debian machine, else Debian's own."""
    debian, security = _apt_mirrors(etc)
    chosen = environ.get(MIRROR_VARIABLE) or debian or DEBIAN
    chosen_security = environ.get(SECURITY_VARIABLE) or security or SECURITY
    return Mirror(chosen.rstrip("/"), chosen_security.rstrip("/"))


def _apt_mirrors(etc: Path) -> tuple[str | None, str | None]:
    """(main, security) of this machine's release; the same roots hold Debian 12 too."""
    release = _os_release(etc / "os-release")
    codename = release.get("VERSION_CODENAME", "")
    if release.get("ID") != "debian" or not codename:
        return None, None
    found: dict[str, str] = {}
    for url, suite in _apt_sources(etc / "apt"):
        if re.fullmatch(r"https?://[^\s@]+", url):
            found.setdefault(suite, url)
    return found.get(codename), found.get(f"{codename}-security")


def _apt_sources(apt: Path) -> Iterator[tuple[str, str]]:
    """(address, suite) of every binary source with component main (sources.list(5), both styles)."""
    parts = sorted((apt / "sources.list.d").glob("*"))
    for path in [apt / "sources.list", *parts]:
        if not path.is_file():
            continue
        text = path.read_text(errors="replace")
        if path.suffix == ".list":
            for line in text.splitlines():
                match = ONE_LINE.match(line.strip())
                if match and "main" in match[3].split():
                    yield match[1], match[2]
        elif path.suffix == ".sources":
            yield from _deb822_sources(text)


def _deb822_sources(text: str) -> Iterator[tuple[str, str]]:
    for fields in paragraphs(text):
        enabled = fields.get("Enabled", "yes").lower() not in ("no", "false", "0")
        if (
            enabled
            and "deb" in fields.get("Types", "").split()
            and "main" in fields.get("Components", "").split()
        ):
            for suite in fields.get("Suites", "").split():
                for url in fields.get("URIs", "").split():
                    yield url, suite


def _os_release(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    pairs = (line.partition("=") for line in path.read_text(errors="replace").splitlines())
    return {name: value.strip("\"'") for name, _, value in pairs}
