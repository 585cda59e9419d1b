"""What somebody wants served: a package, where to get it, and how to know that it is the one."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from skerry.errors import InvalidInput

Json = Any

# A string in a twin holds 4 KB (contract.md §2.6).
URL_CHARACTERS_MAX = 4096

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

# Microsoft's names (the ML inference guide, tutorial.md); they stand beside each other in the twin.
FILE_NAME, DOWNLOAD_URL, CONTENT_MD5 = "FileName", "DownloadUrl", "ContentMD5"


@dataclass(frozen=True, slots=True)
class Wish:
    """``package`` is the digest of the package, ``digest`` that of the archive, ``md5`` Microsoft's of it."""

    package: str | None = None
    url: str | None = None
    digest: str | None = None
    md5: bytes | None = None
    file_name: str | None = None

    def __post_init__(self) -> None:
        if self.package is None and self.url is None:
            raise InvalidInput("a model needs package, url or both", field="model")
        for field, value in (("package", self.package), ("digest", self.digest)):
            if value is not None and not DIGEST.fullmatch(value):
                raise InvalidInput(
                    f"{field} is not sha256: and 64 hexadecimal digits", field=field, value=value[:100]
                )
        if self.url is not None:
            _check_url(self.url)

    @property
    def key(self) -> str:
        """The same for two wishes for the same content, even when the address (its signature) changed."""
        if self.package or self.digest:
            return (
                f"package {self.package} archive {self.digest}" if self.digest else f"package {self.package}"
            )
        if self.md5 is not None:
            return f"md5 {self.md5.hex()} {self.file_name}"
        return f"url {hashlib.sha256((self.url or '').encode()).hexdigest()}"

    def __str__(self) -> str:
        """For logs and reasons: an address only up to its query, where access signatures are."""
        return self.package or self.file_name or shown(self.url or "")


def parse_wish(document: object) -> Wish:
    """The wish in ``{"package", "url", "digest"}``, other fields ignored; InvalidInput names the field."""
    if not isinstance(document, Mapping):
        raise InvalidInput("model is an object with package, url and digest", field="model")
    return Wish(
        package=_text(document, "package"), url=_text(document, "url"), digest=_text(document, "digest")
    )


def parse_download(document: Mapping[str, object]) -> Wish:
    """The wish in Microsoft's three properties; InvalidInput names the one that is missing or wrong."""
    name = _required(document, FILE_NAME)
    url = _required(document, DOWNLOAD_URL)
    try:
        md5 = base64.b64decode(_required(document, CONTENT_MD5), validate=True)
    except ValueError:
        md5 = b""
    if len(md5) != hashlib.md5(usedforsecurity=False).digest_size:
        raise InvalidInput(f"{CONTENT_MD5} is not an MD5 in base64", field=CONTENT_MD5)
    return Wish(url=url, md5=md5, file_name=name)


def shown(url: str) -> str:
    """The address without what may be secret in it."""
    return url.partition("?")[0].partition("#")[0]


def _required(document: Mapping[str, object], field: str) -> str:
    value = _text(document, field)
    if value is None:
        raise InvalidInput(f"{field} is missing", field=field)
    return value


def _text(document: Mapping[str, object], field: str) -> str | None:
    value = document.get(field)
    if value is not None and (not isinstance(value, str) or not value):
        raise InvalidInput(f"{field} must be a text", field=field)
    return value


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fine = False
    if not fine or len(url) > URL_CHARACTERS_MAX or not url.isascii() or re.search(r"[\x00-\x20\x7f]", url):
        raise InvalidInput("url is not an http or https address", field="url", value=shown(url)[:200])
    if "@" in parts.netloc:
        raise InvalidInput("url must not hold a user name or password", field="url")
