"""What happens on a connection, for the program behind it."""

from __future__ import annotations

from dataclasses import dataclass

from .link import Link
from .performatives import Error, Open, Outcome


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer said who it is; it can be talked to."""

    peer: Open


@dataclass(frozen=True, slots=True)
class Attached:
    """The peer wants a link: to be answered with ``accept`` or ``refuse``. Or it accepted one of ours."""

    link: Link


@dataclass(frozen=True, slots=True)
class Delivered:
    """A whole message came (bytes, see ``message``): to be answered with ``settle``."""

    link: Link
    delivery_id: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Credited:
    """The peer changed how many messages it takes on this link."""

    link: Link


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a message we sent; ``outcome`` None: the peer does not say."""

    link: Link
    delivery_id: int
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class Detached:
    """A link ended, with the peer's reason if it gave one. Also when its session or connection ended."""

    link: Link
    error: Error | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is over; what is still to be written may be written."""

    reason: str


Event = Opened | Attached | Delivered | Credited | Settled | Detached | Closed
