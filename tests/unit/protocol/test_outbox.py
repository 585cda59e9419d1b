"""What is under way outlives connections, in order, and can be taken back."""

from __future__ import annotations

from skerry.errors import Unavailable
from skerry.mqtt.outcome import Outcome
from skerry.protocol.outbox import Outbox


class Wire:
    """A connection that notes what is published over it."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bool, Outcome]] = []

    def publish(self, topic: str | bytes, payload: bytes, dup: bool) -> Outcome:
        delivery = Outcome()
        self.sent.append((payload, dup, delivery))
        return delivery


async def test_posted_messages_go_again_over_the_next_connection_but_not_those_taken_back() -> None:
    outbox, first, second = Outbox(10), Wire(), Wire()
    outbox.attach(first.publish)
    posted = [outbox.post("t", b"%d" % n) for n in range(3)]
    first.sent[0][2].settle()
    assert [one.settled for one in posted] == [True, False, False]
    outbox.detach()
    first.sent[2][2].settle(Unavailable("the link ended"))
    posted[1].settle(Unavailable("given up"))
    later = outbox.post("t", b"later")
    outbox.attach(second.publish)
    assert [(payload, dup) for payload, dup, _ in second.sent] == [(b"2", True), (b"later", False)]
    outbox.stop("closed")
    assert [str(one.error) for one in (posted[2], later, outbox.post("t", b""))] == ["closed"] * 3
    assert len(outbox) == 0
