"""Logins for registries out of Docker's configuration, where ``docker login`` and others put them."""

from __future__ import annotations

import base64
import binascii
import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skerry.errors import InvalidInput
from skerry.oci.registry.place import DOCKER_HUB_NAMES

HELPER = re.compile(r"[A-Za-z0-9_.-]{1,100}")
# A helper may ask a cloud's server, or a person at a keychain.
HELPER_TIMEOUT_S = 60
# The user name by which helpers say that the secret is a refresh token (docker-credential-helpers).
REFRESH_USER = "<token>"


@dataclass(frozen=True, slots=True)
class Login:
    """A name with a password, or a token that is exchanged for others (``identity_token``)."""

    user: str
    password: str = field(repr=False)
    identity_token: str = field(default="", repr=False)


def config_directory(environment: Mapping[str, str], home: Path) -> Path:
    """Where Docker keeps its configuration."""
    return Path(environment["DOCKER_CONFIG"]) if environment.get("DOCKER_CONFIG") else home / ".docker"


def find_login(host: str, directory: Path) -> Login | None:
    """The login for a registry, from a credential helper or the file. InvalidInput when that is broken."""
    config = _read(directory / "config.json")
    names = _names(host)
    helpers = config.get("credHelpers")
    if isinstance(helpers, dict):
        for name in names:
            if name in helpers:
                return _from_helper(str(helpers[name]), name)
    if isinstance(config.get("credsStore"), str):
        for name in names:
            if (found := _from_helper(config["credsStore"], name)) is not None:
                return found
    entries = config.get("auths")
    for address, entry in entries.items() if isinstance(entries, dict) else ():
        if _bare(str(address)) in names and isinstance(entry, dict) and (found := _from_entry(entry)):
            return found
    return None


def _names(host: str) -> tuple[str, ...]:
    """What a registry is called in the file; Docker Hub has an address of its own there."""
    return ("https://index.docker.io/v1/", *DOCKER_HUB_NAMES) if host in DOCKER_HUB_NAMES else (host,)


def _bare(address: str) -> str:
    return address.partition("://")[2].partition("/")[0] if "://" in address else address.partition("/")[0]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise InvalidInput(
            f"cannot read {path}", hint="it is written by docker login", path=str(path)
        ) from exc
    return found if isinstance(found, dict) else {}


def _from_entry(entry: Mapping[str, Any]) -> Login | None:
    token = str(entry.get("identitytoken") or "")
    try:
        text = base64.b64decode(str(entry.get("auth") or ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    user, _, password = text.rstrip("\0").partition(":")
    if not text:
        user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    return Login(user, password, token) if password or token else None


def _from_helper(name: str, server: str) -> Login | None:
    """What the helper program knows; None when it knows nothing. The secret comes by its standard output."""
    if not HELPER.fullmatch(name):
        raise InvalidInput(f"not a credential helper: {name[:100]!r}", hint="see ~/.docker/config.json")
    program = f"docker-credential-{name}"
    try:
        result = subprocess.run(
            [program, "get"],
            input=server.encode(),
            capture_output=True,
            timeout=HELPER_TIMEOUT_S,
            check=False,
        )
        found = json.loads(result.stdout) if result.returncode == 0 else {}
    except FileNotFoundError as exc:
        raise InvalidInput(
            f"{program} is not installed", hint="Docker's config.json names it", program=program
        ) from exc
    except (subprocess.TimeoutExpired, OSError, ValueError):
        # The cause may hold what the program printed: the secret.
        raise InvalidInput(f"{program} does not answer as it should", program=program) from None
    user, secret = str(found.get("Username") or ""), str(found.get("Secret") or "")
    if not secret:
        return None
    return Login("", "", secret) if user == REFRESH_USER else Login(user, secret)
