"""One AMQP connection of a service: what its tokens allow, and the nodes its links go to."""

from __future__ import annotations

from dataclasses import dataclass, field

from skerry.amqp.events import Settled
from skerry.amqp.link import Link
from skerry.amqp.stream import Wire
from skerry.clock import Clock
from skerry.hub.authority import ServiceCaller
from skerry.hub.policies import Right

# A token's end is enforced this late: clients renew shortly before it, by clocks that are not ours.
TOKEN_GRACE_S = 60.0


class Node:
    """Our end of a link; does nothing about what it is not interested in."""

    def delivered(self, delivery_id: int, payload: bytes) -> None:
        """A message came; to be settled."""

    def credited(self) -> None:
        """More may be sent, or something was asked about the credit."""

    def settled(self, event: Settled) -> None:
        """The peer answered a message of ours."""

    def ended(self) -> None:
        """The link is gone."""


@dataclass(eq=False)
class Visit:
    """``grants`` holds, per policy, the rights of a token with its end in unix seconds."""

    wire: Wire
    clock: Clock
    grants: dict[str, tuple[frozenset[Right], float]] = field(default_factory=dict)
    nodes: dict[Link, Node] = field(default_factory=dict)

    def grant(self, caller: ServiceCaller, until: float) -> None:
        """Take note of a token that was good."""
        self.grants[caller.policy] = (caller.rights, until)

    def may(self, right: Right) -> bool:
        """Whether a token that has not ended carries this right."""
        now = self.clock.now().timestamp() - TOKEN_GRACE_S
        return any(right in rights and until > now for rights, until in self.grants.values())
