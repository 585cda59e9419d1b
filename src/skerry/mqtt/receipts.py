"""QoS 1 messages received: their PUBACKs go out in the order they came in (MQTT 3.1.1 §4.6)."""

from __future__ import annotations

from collections import deque

from .codec import encode_puback


class Receipt:
    """A message that was received; the peer hears so once it and all before it are done."""

    __slots__ = ("done", "packet_id")

    def __init__(self, packet_id: int) -> None:
        self.packet_id = packet_id
        self.done = False


class Receipts:
    def __init__(self) -> None:
        self._open: deque[Receipt] = deque()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, packet_id: int) -> Receipt:
        receipt = Receipt(packet_id)
        self._open.append(receipt)
        return receipt

    def finish(self, receipt: Receipt) -> bytes:
        """The PUBACKs that may go out now."""
        receipt.done = True
        waiting = self._open
        if not waiting or not waiting[0].done:
            return b""
        out = b""
        while waiting and waiting[0].done:
            out += encode_puback(waiting.popleft().packet_id)
        return out
