"""``If-Match``: which etag a caller insists on (contract §4.1)."""

from __future__ import annotations

ANY = "*"


def parse(header: str | None) -> str | None:
    """The etag in an ``If-Match`` header without its quotes, ``*`` for any, ``None`` for no header."""
    if header is None or not header.strip():
        return None
    text = header.strip().removeprefix("W/")
    # SDKs send it quoted, and for configurations bare: both count.
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def matches(if_match: str, etag: str) -> bool:
    """Whether an etag satisfies what ``parse`` gave."""
    return if_match in (ANY, etag)
