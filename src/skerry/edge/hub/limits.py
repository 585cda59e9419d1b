"""How much one endpoint's queue may hold, with what happens to a message too many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from skerry.contract.member import Member
from skerry.store.queue import Entry, Length

COUNT_MAX = 2**53


class Policy(Enum):
    """What makes room in a full queue."""

    # The sender gets no acknowledgement and sends again: nothing is lost, the sender waits.
    REJECT = "reject"
    DROP_OLDEST = "dropOldest"
    # The oldest of the lowest priority; a message less urgent than all that wait is dropped itself.
    DROP_LOWEST_PRIORITY = "dropLowestPriority"


@dataclass(frozen=True, slots=True)
class EndpointLimits:
    """Bounds of each endpoint's queue; None is none but that of the whole store."""

    max_size_bytes: int | None = None
    max_messages: int | None = None
    policy: Policy = Policy.REJECT

    def excess(self, held: Length, messages: int, size: int) -> Length:
        """How much has to go before so much can come."""
        over = 0 if self.max_messages is None else held.messages + messages - self.max_messages
        over_bytes = 0 if self.max_size_bytes is None else held.size + size - self.max_size_bytes
        return Length(max(over, 0), max(over_bytes, 0))


UNLIMITED = EndpointLimits()


def parse_limits(document: object) -> EndpointLimits:
    """Ours, ``storeAndForwardConfiguration.storeLimits.perEndpoint`` of the ``$edgeHub`` desired properties.

    ``{maxSizeBytes?, maxMessages?, policy?}``; Azure's edgeHub ignores it. InvalidInput with ``path``.
    """
    store = Member("", document)["storeAndForwardConfiguration"]["storeLimits"]
    limits = store["perEndpoint"] if store.given else store
    if not limits.given:
        return UNLIMITED
    size, messages, policy = limits["maxSizeBytes"], limits["maxMessages"], limits["policy"]
    names = [known.value for known in Policy]
    if policy.given and policy.value not in names:
        policy.refuse(f"one of {', '.join(names)}")
    return EndpointLimits(
        size.integer(1, COUNT_MAX) if size.given else None,
        messages.integer(1, COUNT_MAX) if messages.given else None,
        Policy(policy.value) if policy.given else Policy.REJECT,
    )


def less(excess: Length, freed: Length) -> Length:
    """What still has to go."""
    return Length(max(excess.messages - freed.messages, 0), max(excess.size - freed.size, 0))


def surplus(newcomers: Sequence[Entry], excess: Length, priority: int | None) -> set[int]:
    """Which newcomers to one endpoint are dropped, by index, when its queue has no more room to give.

    The oldest first; with ``priority`` only those of that class.
    """
    gone: set[int] = set()
    messages, size = excess
    for index, entry in enumerate(newcomers):
        if messages <= 0 and size <= 0:
            break
        if priority is None or entry.priority == priority:
            gone.add(index)
            messages, size = messages - 1, size - entry.size
    return gone
