"""The hubs an operator works with, by name: connection string, port and root of each, in files of theirs."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skerry.contract.credentials import ConnectionString
from skerry.errors import AlreadyExists, InvalidInput, NotAllowed, NotFound
from skerry.service.files import PRIVATE, write_atomic

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
CURRENT = "current"
# What others may do with a file that holds a key: nothing.
OTHERS = 0o077


@dataclass(frozen=True)
class Profile:
    """How to reach one hub, and as whom."""

    name: str
    connection_string: str
    port: int
    ca_pem: str | None

    def __repr__(self) -> str:
        return f"Profile({self.name!r}, {ConnectionString.parse(self.connection_string).host_name!r})"

    @property
    def host(self) -> str:
        return ConnectionString.parse(self.connection_string).host_name

    @property
    def policy(self) -> str:
        return ConnectionString.parse(self.connection_string).shared_access_key_name or ""


class Profiles:
    """The profiles below one folder; each is a folder, so that a key is a file with strict rights."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of_user(cls, environ: Mapping[str, str]) -> Profiles:
        """In SKERRY_CONFIG_DIR, else where the XDG base directory specification says."""
        if own := environ.get("SKERRY_CONFIG_DIR"):
            return cls(Path(own) / "profiles")
        base = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".config"
        return cls(Path(base) / "skerry" / "profiles")

    def names(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        return sorted(path.parent.name for path in self._folder.glob("*/profile.json"))

    @property
    def current(self) -> str | None:
        """The one that is used when none is named."""
        try:
            name = (self._folder / CURRENT).read_text().strip()
        except FileNotFoundError:
            return None
        return name if name in self.names() else None

    def get(self, name: str) -> Profile:
        """NotFound, with the names there are; NotAllowed when others can read its key."""
        self._check(name)
        if name not in self.names():
            known = ", ".join(self.names()) or "none"
            raise NotFound(f"there is no profile {name}", hint=f"profiles: {known}", profile=name)
        place = self._folder / name
        secret = place / "connection-string"
        if os.stat(secret).st_mode & OTHERS:
            raise NotAllowed(f"others can read {secret}", hint=f"chmod 600 {secret}", path=str(secret))
        settings = json.loads((place / "profile.json").read_text())
        ca = place / "ca.pem"
        return Profile(name, secret.read_text(), settings["port"], ca.read_text() if ca.exists() else None)

    def add(self, profile: Profile, *, replace: bool = False) -> None:
        """Keep it; the first one becomes the current one. AlreadyExists unless ``replace``."""
        self._check(profile.name)
        if profile.name in self.names() and not replace:
            raise AlreadyExists(
                f"there is a profile {profile.name}", hint="--force replaces it", profile=profile.name
            )
        place = self._folder / profile.name
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(place / "connection-string", profile.connection_string.encode(), mode=PRIVATE)
        if profile.ca_pem is None:
            (place / "ca.pem").unlink(missing_ok=True)
        else:
            write_atomic(place / "ca.pem", profile.ca_pem.encode())
        # Last: a folder with this file is a whole profile.
        write_atomic(place / "profile.json", json.dumps({"port": profile.port}).encode())
        if self.current is None:
            self.use(profile.name)

    def use(self, name: str) -> None:
        """Make it the current one."""
        self.get(name)
        write_atomic(self._folder / CURRENT, f"{name}\n".encode())

    def remove(self, name: str) -> None:
        self.get(name)
        shutil.rmtree(self._folder / name)

    def _check(self, name: str) -> None:
        if not NAME.fullmatch(name) or name == CURRENT:
            raise InvalidInput(
                f"a profile cannot be called {name!r}", hint="letters, digits, . _ and -", value=name
            )
