"""Reading a TOML document so that what is wrong is named by its key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from skerry.errors import InvalidInput


def table(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The section of that name, empty when it is not there."""
    value = document.get(key, {})
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{key} is a section: [{key}]", path=key)
    return value


def text(document: Mapping[str, Any], key: str, prefix: str = "") -> str:
    """The text of that name; ``prefix`` is the section it is in, for the message."""
    value = document.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"{prefix}{key} has to be a text", path=prefix + key)
    return value


def file_of(uri: str) -> Path:
    """``file:///path`` as a path."""
    parts = urlsplit(uri)
    if parts.scheme != "file":
        raise InvalidInput(f"{uri.split(':')[0]}: is not supported, only file:///…", hint="use a file: URI")
    return Path(unquote(parts.path))
