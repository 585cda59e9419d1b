"""The content address of a blob: ``sha256:`` and 64 hex digits (OCI image-spec, descriptor, "Digests")."""

from __future__ import annotations

import hashlib
import re

from skerry.errors import InvalidInput

SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


class Digest(str):
    """A checked ``sha256:…`` string; anything else is ``InvalidInput``."""

    __slots__ = ()

    def __new__(cls, text: str) -> Digest:
        if not SHA256.fullmatch(text):
            raise InvalidInput(
                "not a sha256 digest", hint="it reads sha256: and 64 lower-case hex digits", value=text
            )
        return super().__new__(cls, text)

    @property
    def hex(self) -> str:
        """The 64 hex digits alone, as blob files are named."""
        return self.removeprefix("sha256:")


def digest_of(data: bytes) -> Digest:
    """The digest of ``data``."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())
