"""The name of an image, as people and deployment manifests write it (distribution/reference grammar)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from skerry.errors import InvalidInput
from skerry.oci.digest import Digest

# The grammar of github.com/distribution/reference, regexp.go.
COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
HOST = re.compile(rf"(?:{LABEL}(?:\.{LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
REPOSITORY = re.compile(rf"{COMPONENT}(?:/{COMPONENT})*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
# distribution/reference NameTotalLengthMax.
NAME_CHARACTERS_MAX = 255


@dataclass(frozen=True, slots=True)
class Reference:
    """``[registry/]repository[:tag][@digest]``; checks itself, ``InvalidInput`` names the bad field."""

    repository: str
    registry: str | None = None
    tag: str | None = None
    digest: Digest | None = None

    def __post_init__(self) -> None:
        _check(REPOSITORY, "repository", self.repository, "lower-case words joined by . _ - and /")
        if self.registry is not None:
            _check(HOST, "registry", self.registry, "a host name or address with an optional :port")
        if self.tag is not None:
            _check(TAG, "tag", self.tag, "1 to 128 of A-Z a-z 0-9 _ . -, not starting with . or -")
        if len(self.name) > NAME_CHARACTERS_MAX:
            raise InvalidInput(
                "image name is too long", hint=f"at most {NAME_CHARACTERS_MAX} characters", field="name"
            )

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}" if self.registry else self.repository

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return self.name + tag + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """``text`` as a reference, nothing added: no default registry and no default tag.

    The part before the first ``/`` is a registry when it has a ``.`` or ``:``, or is ``localhost``, as
    Docker decides it.
    """
    rest, at, digest = text.partition("@")
    head, slash, tail = rest.rpartition("/")
    last, colon, tag = tail.partition(":")
    path = head + slash + last
    first, slash, remainder = path.partition("/")
    is_host = bool(slash) and (first == "localhost" or "." in first or ":" in first)
    return Reference(
        repository=remainder if is_host else path,
        registry=first if is_host else None,
        tag=tag if colon else None,
        digest=Digest(digest) if at else None,
    )


def _check(pattern: re.Pattern[str], field: str, value: str, hint: str) -> None:
    if not pattern.fullmatch(value):
        raise InvalidInput(f"not an image {field}: {value!r}", hint=hint, field=field, value=value)
