"""One direction of messages between two nodes, and how many may still go."""

from __future__ import annotations

from dataclasses import dataclass, field

from .composite import from_value
from .fault import TRANSFER_LIMIT, AmqpError
from .performatives import RECEIVER, SENDER, SETTLED, Attach, Source, Target
from .types import Described, Value

# How many messages a peer may have on their way to us, per link.
CREDIT = 100
# What a peer's credit is taken for at most: a window in which nothing is gained by more.
CREDIT_MAX = 100_000


@dataclass(eq=False, slots=True)
class Link:
    """``role`` is ours. ``handle`` is our number for it, ``peer_handle`` the peer's."""

    name: str
    channel: int
    handle: int
    role: bool
    peer: Attach
    peer_handle: int | None = None
    credit: int = 0
    delivery_count: int = 0
    drain: bool = False
    # Between both Attach frames and the first Detach.
    is_open: bool = False
    # Ids of what went out, or came in, and is not settled yet.
    unsettled: set[int] = field(default_factory=set)
    # The pieces of the message that is arriving.
    arriving: bytearray | None = None
    arriving_id: int = 0
    arriving_settled: bool = False

    @property
    def is_sender(self) -> bool:
        """Whether messages go from us to the peer."""
        return self.role == SENDER

    @property
    def wants_settled(self) -> bool:
        """Whether the peer asks for messages it need not acknowledge."""
        return self.peer.snd_settle_mode == SETTLED

    @property
    def source(self) -> Source:
        """Where messages come from, as the peer says; AmqpError when that is not a source."""
        return Source() if self.peer.source is None else from_value(Source, self.peer.source)

    @property
    def target(self) -> Target:
        """Where messages go, as the peer says; AmqpError when that is not a plain target."""
        return Target() if self.peer.target is None else from_value(Target, self.peer.target)

    @property
    def address(self) -> str:
        """The node at our end; "" when the peer names none."""
        node: Value = self.source.address if self.is_sender else self.target.address
        return node if isinstance(node, str) else ""

    def filters(self) -> dict[str, Value]:
        """What the peer wants of the source: filter name → its value without the description."""
        given = self.source.filter or {}
        return {
            str(name): value.value if isinstance(value, Described) else value for name, value in given.items()
        }

    def spend(self) -> None:
        """One message begins; AmqpError when none was allowed."""
        if self.credit <= 0:
            raise AmqpError("a message without credit", TRANSFER_LIMIT)
        self.credit -= 1
        self.delivery_count = (self.delivery_count + 1) % 2**32


def mirrored(link: Link) -> Attach:
    """Our answer to the peer's Attach: both ends as it named them."""
    return Attach(
        name=link.name,
        handle=link.handle,
        role=link.role,
        snd_settle_mode=link.peer.snd_settle_mode,
        rcv_settle_mode=0 if link.role == RECEIVER else link.peer.rcv_settle_mode,
        source=link.peer.source,
        target=link.peer.target,
        initial_delivery_count=0 if link.is_sender else None,
    )
