"""Who is acting: set by a front for one request, known to whatever it makes happen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """``who`` in the words of the audit log; ``origin`` is the address a request came from, or empty."""

    who: str
    origin: str = ""


# What the hub does by itself.
HUB = Actor("hub")
_ACTING: ContextVar[Actor] = ContextVar("actor", default=HUB)


def actor() -> Actor:
    """Who is acting in this task, also in the database work that it asked for."""
    return _ACTING.get()


def set_actor(acting: Actor) -> None:
    """For the rest of this task."""
    _ACTING.set(acting)


@contextmanager
def acting(as_whom: Actor) -> Iterator[None]:
    """For the block."""
    token = _ACTING.set(as_whom)
    try:
        yield
    finally:
        _ACTING.reset(token)
