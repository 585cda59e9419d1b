"""A sink as an operator describes it: which events go to which web address, and how hard to try."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from skerry.contract.member import Member
from skerry.contract.names import DeviceId

URL_CHARS_MAX = 2_048
HEADERS_MAX = 10
HEADER_CHARS_MAX = 4_096
ATTEMPTS_MAX, ATTEMPTS = 100, 10
BATCH_MAX, BATCH = 100, 50
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}")
_HEADER = re.compile(r"[A-Za-z0-9!#$&'*+.^_`|~-]{1,100}")
_HIDDEN = "***"
# What the sender of a request sets itself.
_OURS = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection"})


@dataclass(frozen=True, slots=True)
class Sink:
    """``headers`` may hold secrets. ``source`` and ``device`` restrict which events go."""

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    source: str | None = None
    device: str | None = None
    attempts: int = ATTEMPTS
    batch: int = BATCH
    ca: str | None = None

    @property
    def host(self) -> str:
        """Where it goes, without what a URL may hide in its path and query."""
        return urlsplit(self.url).netloc

    def document(self, *, secret: bool) -> dict[str, Any]:
        """As it was given; without ``secret`` the values of headers and the URL's query are hidden."""
        url, question, _ = self.url.partition("?")
        shown = dict(self.headers) if secret else dict.fromkeys(self.headers, _HIDDEN)
        return {
            "url": self.url if secret or not question else f"{url}?{_HIDDEN}",
            "headers": shown,
            "source": self.source,
            "device": self.device,
            "maxAttempts": self.attempts,
            "batch": self.batch,
            "ca": self.ca,
        }


def parse_sink(document: Any, name: str) -> Sink:
    """Raises InvalidInput with ``path``."""
    if not _NAME.fullmatch(name):
        Member("name", name).refuse("1 to 50 of A-Z a-z 0-9 . _ -")
    root = Member("", document)
    device = root["device"]
    return Sink(
        name,
        _url(root["url"]),
        _headers(root["headers"]),
        _text(root["source"]),
        str(DeviceId(device.text())) if device.given else None,
        root["maxAttempts"].integer(1, ATTEMPTS_MAX) if root["maxAttempts"].given else ATTEMPTS,
        root["batch"].integer(1, BATCH_MAX) if root["batch"].given else BATCH,
        _text(root["ca"]),
    )


def _url(member: Member) -> str:
    text = member.text()
    try:
        parts = urlsplit(text)
        legal = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        legal = False
    # A name and password in it would be shown to whoever reads the sink.
    if not legal or len(text) > URL_CHARS_MAX or "@" in parts.netloc or not text.isascii() or " " in text:
        member.refuse("an http or https URL without a login in it")
    return text


def _headers(member: Member) -> dict[str, str]:
    if not member.given:
        return {}
    found = {}
    for name, value in member:
        text = value.text(blank=True)
        legal = len(text) <= HEADER_CHARS_MAX and text.isascii() and text.isprintable()
        if not _HEADER.fullmatch(name) or name.lower() in _OURS or not legal:
            value.refuse("a header of yours: a name, printable text")
        found[name] = text
    if len(found) > HEADERS_MAX:
        member.refuse(f"at most {HEADERS_MAX} headers")
    return found


def _text(member: Member) -> str | None:
    return member.text() if member.given else None
