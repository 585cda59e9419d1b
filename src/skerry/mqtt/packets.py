"""The packets of MQTT 3.1.1 (OASIS standard, 29 October 2014) as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

# CONNACK return codes, MQTT 3.1.1 table 3.1.
ACCEPTED = 0
BAD_PROTOCOL_VERSION = 1
IDENTIFIER_REJECTED = 2
SERVER_UNAVAILABLE = 3
BAD_CREDENTIALS = 4
NOT_AUTHORIZED = 5

# The SUBACK code of a filter that is refused, MQTT 3.1.1 §3.9.3.
SUBSCRIPTION_REFUSED = 0x80


class Publish(NamedTuple):
    """A message; ``packet_id`` is 0 for QoS 0.

    A named tuple, not a dataclass: one is made per message, and a frozen dataclass costs three times that.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0


@dataclass(frozen=True, slots=True)
class Will:
    """What the server publishes for a client that leaves without a DISCONNECT."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    """A client's first packet; ``keep_alive_s`` 0 means no keep-alive."""

    client_id: str
    clean_session: bool = True
    keep_alive_s: int = 60
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None

    def __repr__(self) -> str:
        clean = f"clean_session={self.clean_session}"
        return f"Connect({self.client_id!r}, {clean}, keep_alive_s={self.keep_alive_s})"


@dataclass(frozen=True, slots=True)
class ConnAck:
    """The server's answer to a CONNECT; a ``code`` other than 0 is followed by the end of the link."""

    session_present: bool
    code: int = ACCEPTED


class PubAck(NamedTuple):
    """A named tuple for the same reason."""

    packet_id: int


@dataclass(frozen=True, slots=True)
class Subscribe:
    """``filters`` are pairs of a topic filter with the QoS wished for."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class SubAck:
    """``codes`` hold, per filter, the granted QoS or 0x80."""

    packet_id: int
    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    packet_id: int
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnsubAck:
    packet_id: int


@dataclass(frozen=True, slots=True)
class PingReq:
    pass


@dataclass(frozen=True, slots=True)
class PingResp:
    pass


@dataclass(frozen=True, slots=True)
class Disconnect:
    pass


Packet = (
    Connect
    | ConnAck
    | Publish
    | PubAck
    | Subscribe
    | SubAck
    | Unsubscribe
    | UnsubAck
    | PingReq
    | PingResp
    | Disconnect
)
