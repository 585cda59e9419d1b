"""The one error root, with a few kinds that say what went wrong in terms a front can map.

Fronts (REST, MQTT, CLI) turn a kind into an HTTP status, a CONNACK code or an exit code; nobody else does.
"""

from __future__ import annotations


class SkerryError(Exception):
    """Something went wrong that has a name; ``what`` says it, ``hint`` says what to do about it.

    ``fields`` carry the values a program may want (``path``, ``value``, ``position`` …). They never
    hold a secret: they are shown to people and written to logs.
    """

    def __init__(self, what: str, *, hint: str = "", **fields: object) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.fields = fields

    def __str__(self) -> str:
        return f"{self.what} ({self.hint})" if self.hint else self.what


class InvalidInput(SkerryError):
    """What the caller gave breaks a rule; ``fields`` name the place and the value."""


class NotAuthenticated(SkerryError):
    """The caller did not prove who it is: bad key, bad signature, expired token."""


class NotAllowed(SkerryError):
    """The caller is known and may not do this."""


class NotFound(SkerryError):
    """What the caller named does not exist."""


class AlreadyExists(SkerryError):
    """The caller asked to create what is there already."""


class PreconditionFailed(SkerryError):
    """The caller's ETag or version is not the current one."""


class TooLarge(SkerryError):
    """A message, document or file is over its bound."""


class Throttled(SkerryError):
    """Too many requests or too full a queue; trying later helps."""


class Unavailable(SkerryError):
    """A peer cannot be reached or cannot serve now; trying later helps."""


class TimedOut(SkerryError):
    """A peer did not answer in the time given."""


class StorageFull(SkerryError):
    """The disk, or a bounded store on it, has no room; nothing of the request was kept."""


class Unsupported(SkerryError):
    """A legal request for something this build does not do."""


class Damaged(SkerryError):
    """Stored data does not read back as what was written."""
