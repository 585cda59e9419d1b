"""An order for a model, and how far it got."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from skerry.errors import SkerryError, Unavailable
from skerry.serve.update.wish import Wish


class Interrupted(Unavailable):
    """The download broke off, and goes on later."""


@dataclass(frozen=True, slots=True)
class Progress:
    """``state``: active, ordered, downloading, checking, loading, waiting (to try again), failed; and why."""

    state: str = "active"
    reason: str = ""
    error: SkerryError | None = None
    key: str = ""
    """Of the wish it is about."""


@dataclass(slots=True)
class Order:
    """A wish, and who waits for it to be fulfilled, if somebody does."""

    wish: Wish
    answer: asyncio.Future[None] | None = None
