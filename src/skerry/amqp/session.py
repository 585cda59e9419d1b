"""A conversation inside a connection: its windows, its links, the pieces of its messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from .composite import from_value, to_value
from .events import Attached, Credited, Delivered, Detached, Event, Settled
from .fault import NOT_ALLOWED, RESOURCE_LIMIT, SIZE_EXCEEDED, WINDOW_VIOLATION, AmqpError
from .frames import encode_frame
from .link import CREDIT, CREDIT_MAX, Link, mirrored
from .performatives import (
    RECEIVER,
    SENDER,
    Accepted,
    Attach,
    Begin,
    Detach,
    Disposition,
    Error,
    Flow,
    Outcome,
    Transfer,
    outcome_of,
)

# The clients we know use one to three links per session.
LINKS_MAX = 32
# Frames a peer may send before we take more; topped up when half is used.
WINDOW = 2048
# The largest message taken from a peer: a C2D message is 64 KiB, the rest is for properties.
MESSAGE_BYTES_MAX = 512 * 1024
# Messages sent and not acknowledged, per link.
UNSETTLED_MAX = 10_000
# Room for a Transfer's own fields in a frame.
TRANSFER_BYTES = 64
_ALL = 2**32


class Session:
    """``channel`` is ours, ``peer_channel`` the peer's. Bytes to send are left in ``out``."""

    def __init__(self, channel: int, frame_bytes: int) -> None:
        self.channel = channel
        self.peer_channel: int | None = None
        self.out = bytearray()
        self._frame_bytes = frame_bytes
        self._links: dict[int, Link] = {}
        self._by_peer: dict[int, Link] = {}
        self._next_incoming = 0
        self._incoming_window = WINDOW
        self._next_outgoing = 0
        self._peer_window = 0
        self._next_delivery = 0
        # Transfers that wait until the peer's window opens.
        self._waiting: deque[bytes] = deque()

    @property
    def links(self) -> Iterator[Link]:
        return iter(list(self._links.values()))

    @property
    def is_blocked(self) -> bool:
        """Whether transfers wait for the peer's window."""
        return bool(self._waiting)

    def begin(self) -> Begin:
        """Our half of the beginning."""
        return Begin(
            remote_channel=self.peer_channel,
            next_outgoing_id=0,
            incoming_window=WINDOW,
            outgoing_window=WINDOW,
            handle_max=LINKS_MAX - 1,
        )

    def begun(self, peer_channel: int, begin: Begin) -> None:
        """The peer's half."""
        self.peer_channel = peer_channel
        self._next_incoming = begin.next_outgoing_id
        self._peer_window = begin.incoming_window

    # What the program asks for.

    def attach(self, attach: Attach) -> Link:
        """Ask the peer for a link; its handle is ours to choose."""
        handle = self._free_handle()
        mine = Attach(
            name=attach.name,
            handle=handle,
            role=attach.role,
            snd_settle_mode=attach.snd_settle_mode,
            source=attach.source,
            target=attach.target,
            initial_delivery_count=0 if attach.role == SENDER else None,
            properties=attach.properties,
        )
        link = Link(attach.name, self.channel, handle, attach.role, peer=mine)
        self._links[handle] = link
        self._send(mine)
        return link

    def accept(self, link: Link) -> None:
        """Take up a link that the peer asked for."""
        link.is_open = True
        self._send(mirrored(link))
        if not link.is_sender:
            self._grant(link)

    def refuse(self, link: Link, error: Error) -> None:
        """Answer with a link to nowhere that ends at once (part 2 §2.6.3)."""
        answer = mirrored(link)
        source, target = (None, answer.target) if link.is_sender else (answer.source, None)
        self._send(
            Attach(link.name, link.handle, link.role, source=source, target=target, initial_delivery_count=0)
        )
        link.is_open = True
        self.detach(link, error)

    def detach(self, link: Link, error: Error | None) -> None:
        """End a link; the peer's answer is awaited before its number is used again."""
        if link.is_open:
            link.is_open = False
            link.unsettled.clear()
            self._send(Detach(link.handle, True, None if error is None else to_value(error)))

    def send(self, link: Link, payload: bytes, *, settled: bool, track: bool) -> int:
        """Send a message; needs credit. With ``track`` a ``Settled`` event follows. Returns its id."""
        if track and len(link.unsettled) >= UNSETTLED_MAX:
            raise AmqpError("too many messages are not acknowledged", RESOURCE_LIMIT)
        link.spend()
        number = self._next_delivery
        self._next_delivery = (number + 1) % _ALL
        if track and not settled:
            link.unsettled.add(number)
        room = self._frame_bytes - TRANSFER_BYTES
        for at in range(0, max(len(payload), 1), room):
            piece = Transfer(
                handle=link.handle,
                delivery_id=number,
                delivery_tag=number.to_bytes(4, "big"),
                message_format=0,
                settled=settled,
                more=at + room < len(payload),
            )
            self._waiting.append(encode_frame(piece, self.channel, payload[at : at + room]))
        self._release()
        return number

    def settle(self, link: Link, number: int, outcome: Outcome) -> None:
        """Answer a message that came, and let the next one come."""
        if number in link.unsettled:
            link.unsettled.discard(number)
            self._send(Disposition(RECEIVER, number, number, True, to_value(outcome)))
        if link.is_open and link.credit + len(link.unsettled) <= CREDIT // 2:
            self._grant(link)

    def drained(self, link: Link) -> None:
        """There is nothing to send on a link whose peer asked to use up the credit (part 2 §2.6.7)."""
        link.delivery_count = (link.delivery_count + link.credit) % _ALL
        link.credit, link.drain = 0, False
        self._send(self._flow(link, drain=True))

    # What the peer says.

    def attached(self, attach: Attach) -> Event:
        """The peer's Attach: an answer to ours, or a wish of its own."""
        if attach.handle in self._by_peer or attach.handle >= LINKS_MAX:
            raise AmqpError(f"link handle {attach.handle} cannot be used", NOT_ALLOWED)
        link = next((one for one in self._links.values() if self._awaits(one, attach)), None)
        if link is None:
            link = Link(attach.name, self.channel, self._free_handle(), not attach.role, attach)
            self._links[link.handle] = link
        else:
            link.is_open = True
            link.peer = attach
        link.peer_handle = attach.handle
        self._by_peer[attach.handle] = link
        if not link.is_sender:
            link.delivery_count = attach.initial_delivery_count or 0
            if link.is_open:
                self._grant(link)
        return Attached(link)

    def flowed(self, flow: Flow) -> Iterator[Event]:
        """Credit for a link, or room in the session."""
        base = 0 if flow.next_incoming_id is None else flow.next_incoming_id
        left = (base + flow.incoming_window - self._next_outgoing) % _ALL
        self._peer_window = left if left < _ALL // 2 else 0
        self._release()
        if flow.handle is None:
            yield from (Credited(link) for link in self.links if link.is_open and link.is_sender)
            if flow.echo:
                self._send(self._flow(None))
            return
        link = self._link(flow.handle)
        if link.is_sender and flow.link_credit is not None:
            credit = (flow.link_credit + (flow.delivery_count or 0) - link.delivery_count) % _ALL
            link.credit = min(credit, CREDIT_MAX) if credit < _ALL // 2 else 0
            link.drain = flow.drain
            if link.is_open:
                yield Credited(link)
        if flow.echo and link.is_open:
            self._send(self._flow(link))

    def transferred(self, part: Transfer, payload: bytes) -> Iterator[Event]:
        """A piece of a message; the event comes with the last one."""
        if self._incoming_window <= 0:
            raise AmqpError("more frames than the window allows", WINDOW_VIOLATION)
        self._incoming_window -= 1
        self._next_incoming = (self._next_incoming + 1) % _ALL
        link = self._link(part.handle)
        if link.is_sender:
            raise AmqpError("a message on a link in the other direction", NOT_ALLOWED)
        if self._incoming_window <= WINDOW // 2:
            self._incoming_window = WINDOW
            self._send(self._flow(None))
        if not link.is_open:
            return  # It was on its way when we ended the link.
        if link.arriving is None:
            self._begin_message(link, part)
        assert link.arriving is not None
        link.arriving_settled |= bool(part.settled)
        if part.aborted:
            link.arriving = None
            self.settle(link, link.arriving_id, Accepted())
            return
        link.arriving += payload
        if len(link.arriving) > MESSAGE_BYTES_MAX:
            raise AmqpError(f"a message over {MESSAGE_BYTES_MAX} bytes", SIZE_EXCEEDED)
        if not part.more:
            whole, link.arriving = bytes(link.arriving), None
            if not link.arriving_settled:
                link.unsettled.add(link.arriving_id)
            yield Delivered(link, link.arriving_id, whole)

    def disposed(self, part: Disposition) -> Iterator[Event]:
        """What became of messages we sent."""
        if part.role == SENDER:
            return  # The sender settles what we settled already.
        last = part.first if part.last is None else part.last
        span = (last - part.first) % _ALL
        outcome = outcome_of(part.state)
        if outcome is None and not part.settled:
            return
        for link in self.links:
            if not link.is_sender:
                continue
            for number in sorted(one for one in link.unsettled if (one - part.first) % _ALL <= span):
                link.unsettled.discard(number)
                if not part.settled:
                    self._send(Disposition(SENDER, number, number, True, part.state))
                yield Settled(link, number, outcome)

    def detached(self, part: Detach) -> Iterator[Event]:
        """The peer ended a link, or agrees that it has ended."""
        link = self._link(part.handle)
        if link.is_open:
            self.detach(link, None)
            yield Detached(link, error_of(part.error))
        del self._links[link.handle]
        del self._by_peer[part.handle]

    # The rest.

    def _begin_message(self, link: Link, part: Transfer) -> None:
        if part.delivery_id is None:
            raise AmqpError("a message without delivery-id")
        link.spend()
        link.arriving, link.arriving_id, link.arriving_settled = bytearray(), part.delivery_id, False

    def _awaits(self, link: Link, attach: Attach) -> bool:
        return link.peer_handle is None and link.name == attach.name and link.role != attach.role

    def _free_handle(self) -> int:
        free = next((number for number in range(LINKS_MAX) if number not in self._links), None)
        if free is None:
            raise AmqpError(f"more than {LINKS_MAX} links in a session", RESOURCE_LIMIT)
        return free

    def _link(self, peer_handle: int) -> Link:
        link = self._by_peer.get(peer_handle)
        if link is None:
            raise AmqpError(f"no link has the handle {peer_handle}", "amqp:session:unattached-handle")
        return link

    def _grant(self, link: Link) -> None:
        link.credit = CREDIT - len(link.unsettled)
        self._send(self._flow(link))

    def _flow(self, link: Link | None, *, drain: bool = False) -> Flow:
        about = (None, None, None) if link is None else (link.handle, link.delivery_count, link.credit)
        handle, count, credit = about
        return Flow(
            next_incoming_id=self._next_incoming,
            incoming_window=self._incoming_window,
            next_outgoing_id=self._next_outgoing,
            outgoing_window=WINDOW,
            handle=handle,
            delivery_count=count,
            link_credit=credit,
            drain=drain,
        )

    def _release(self) -> None:
        while self._waiting and self._peer_window > 0:
            self.out += self._waiting.popleft()
            self._peer_window -= 1
            self._next_outgoing = (self._next_outgoing + 1) % _ALL

    def _send(self, part: Attach | Detach | Flow | Disposition) -> None:
        self.out += encode_frame(part, self.channel)


def error_of(value: object) -> Error | None:
    """The error a peer gives as its reason."""
    return None if value is None else from_value(Error, value)
