"""A message as it lies in the queue: the sender and the property bag beside the body."""

from __future__ import annotations

from dataclasses import dataclass

from skerry.contract.message import Message, decode_bag, encode_bag
from skerry.contract.names import Identity
from skerry.edge.hub.router import Destination
from skerry.errors import Damaged, InvalidInput
from skerry.store.queue import Entry, Stored

# Ours: the sender's number of this message on its way to the hub, from 1 without gaps, and the life of the
# device's store it counts in. The hub's delivery ledger finds loss and duplicates by them.
SEQUENCE_PROPERTY = "skerry-seq"
EPOCH_PROPERTY = "skerry-epoch"


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


def pack(destination: Destination, envelope: Envelope) -> Entry:
    """The queue entry that brings ``envelope`` to ``destination``."""
    return seal(destination, envelope.sender, encode_bag(envelope.message), envelope.message.body)


def seal(destination: Destination, sender: Identity, bag: str, body: bytes) -> Entry:
    """``pack`` for a message whose properties are encoded already."""
    headers = f"{sender.client_id}\n{bag}".encode()
    return Entry(destination.endpoint, destination.priority, destination.expires_at, body, headers)


def bag_of(stored: Stored) -> str:
    """The encoded properties as they were stored. Damaged when they are no text."""
    try:
        return stored.headers.decode().partition("\n")[2]
    except UnicodeDecodeError as error:
        raise _damaged(stored) from error


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
