"""The headers of what is stored: its encoded properties, stamped with who sent it when.

A sender mostly repeats its properties, and then they come as the very same objects: encoded once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skerry.contract.chain import (
    EPOCH_PROPERTY,
    OURS,
    PREVIOUS_PROPERTY,
    SEQUENCE_PROPERTY,
    properties_digest,
)
from skerry.contract.message import BAG_CHARS_MAX, MESSAGE_BYTES_MAX, Message, encode_bag
from skerry.contract.names import Identity
from skerry.edge.hub.router import upstream_endpoint

# Room that our own properties take in the bag, generously.
OWN_PROPERTIES_BYTES = 512
# Senders whose last properties are remembered.
REMEMBERED_MAX = 4096
SMALL_BODY_BYTES = MESSAGE_BYTES_MAX // 2
_NUMBERED = f"&{SEQUENCE_PROPERTY}=%d&{EPOCH_PROPERTY}=%b".encode()
_CHAINED = f"&{PREVIOUS_PROPERTY}=%b".encode()


@dataclass(frozen=True, slots=True)
class Stamped:
    """A sender's properties as headers, for modules here (``local``) and for the hub (``upward``).

    ``upstream`` is the sender's endpoint at the hub. ``timed``: the sender said when. ``roomy``: ours fit
    beside them.
    """

    properties: Mapping[str, str | None]
    system: Mapping[str, str]
    upstream: str
    local: bytes
    upward: bytes
    timed: bool
    roomy: bool
    # Of what the sender said, for the chain.
    digest: bytes

    def plain(self, suffix: bytes) -> bytes:
        """What modules on the device get. A message at the very bound goes as it is."""
        return self.local if self.timed or not self.roomy else self.local + suffix

    def numbered(self, suffix: bytes, number: int, epoch: bytes, previous: bytes) -> bytes:
        """What the hub gets of a roomy message: with the ledger's number and link (empty: none)."""
        stamped = self.upward if self.timed else self.upward + suffix
        linked = _CHAINED % previous if previous else b""
        return stamped + _NUMBERED % (number, epoch) + linked


class Bags:
    """Encodes what senders send."""

    def __init__(self) -> None:
        self._last: dict[Identity, Stamped] = {}

    def stamped(self, sender: Identity, message: Message) -> Stamped:
        """The properties with the originator (contract.md §2.1), without the time."""
        if len(message.body) >= SMALL_BODY_BYTES:
            return _stamp(sender, message)
        known = self._last.get(sender)
        if known is None or known.properties is not message.properties or known.system is not message.system:
            known = _stamp(sender, message)
            if len(self._last) >= REMEMBERED_MAX:
                self._last.clear()
            self._last[sender] = known
        return known


def time_suffix(now: str) -> bytes:
    """The bag of the time a message was stored (ISO, UTC), to be put behind others."""
    return b"&" + encode_bag(Message(b"", {}, {"creationTime": now})).encode()


def _stamp(sender: Identity, message: Message) -> Stamped:
    properties, system = message.properties, message.system
    timed = "creationTime" in system
    if not _has_room(message):
        headers = _headers(sender, message)
        endpoint = upstream_endpoint(sender)
        return Stamped(properties, system, endpoint, headers, headers, timed, False, b"")
    origin = {"connectionDeviceId": str(sender.device)}
    if sender.module is not None:
        origin["connectionModuleId"] = str(sender.module)
    stamped = Message(b"", properties, {**system, **origin})
    local = upward = _headers(sender, stamped)
    if not OURS.isdisjoint(properties):
        theirs = {name: value for name, value in properties.items() if name not in OURS}
        upward = _headers(sender, Message(b"", theirs, stamped.system))
    digest = properties_digest(properties, system)
    return Stamped(properties, system, upstream_endpoint(sender), local, upward, timed, True, digest)


def _headers(sender: Identity, message: Message) -> bytes:
    return f"{sender.client_id}\n{encode_bag(message)}".encode()


def _has_room(message: Message) -> bool:
    """A message at the very bound goes as it is: with our additions the hub would refuse it."""
    properties = sum(len(name) + len(value or "") for name, value in message.properties.items())
    if len(message.body) < SMALL_BODY_BYTES and properties < BAG_CHARS_MAX // 8:
        return True
    bag = len(encode_bag(message)) + OWN_PROPERTIES_BYTES
    return bag <= BAG_CHARS_MAX and len(message.body) + bag <= MESSAGE_BYTES_MAX
