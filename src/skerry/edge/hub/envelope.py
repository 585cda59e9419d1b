"""A message as it lies in the queue: the sender and the property bag beside the body."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from skerry.contract.chain import SEQUENCE_PROPERTY, Link, link_of
from skerry.contract.message import Message, decode_bag, encode_bag
from skerry.contract.names import Identity
from skerry.edge.hub.router import Destination
from skerry.errors import Damaged, InvalidInput
from skerry.store.queue import Entry, Stored


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sent what."""

    sender: Identity
    message: Message

    @property
    def sequence(self) -> int | None:
        """The ledger's number, for a message that carries one."""
        text = self.message.properties.get(SEQUENCE_PROPERTY)
        return int(text) if text is not None and text.isdecimal() else None

    @property
    def link(self) -> Link | None:
        """Its link of the ledger's chain, for a message that has one."""
        number, message = self.sequence, self.message
        return None if number is None else link_of(number, message.properties, message.system, message.body)


def pack(destination: Destination, envelope: Envelope, expires_at: float | None) -> Entry:
    """The queue entry that brings ``envelope`` to ``destination``."""
    headers = f"{envelope.sender.client_id}\n{encode_bag(envelope.message)}".encode()
    return Entry(destination.endpoint, destination.priority, expires_at, envelope.message.body, headers)


def bag_of(stored: Stored) -> bytes:
    """The encoded properties as they were stored. Damaged when they are none: nobody would take them."""
    _, newline, bag = stored.headers.partition(b"\n")
    if not newline or not bag.isascii():
        raise _damaged(stored)
    try:
        unquote_to_bytes(bag).decode()
    except UnicodeDecodeError as error:
        raise _damaged(stored) from error
    return bag


def unpack(stored: Stored) -> Envelope:
    """What ``pack`` put in. Damaged when it does not read back."""
    try:
        sender, _, bag = stored.headers.decode().partition("\n")
        properties, system = decode_bag(bag)
        return Envelope(Identity.parse(sender), Message(stored.body, properties, system))
    except (UnicodeDecodeError, InvalidInput) as error:
        raise _damaged(stored) from error


def _damaged(stored: Stored) -> Damaged:
    return Damaged(
        f"queue entry {stored.sequence} for {stored.endpoint} does not read back", sequence=stored.sequence
    )
