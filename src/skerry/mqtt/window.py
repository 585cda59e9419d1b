"""QoS 1 messages on their way to the peer: who waits for which PUBACK."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from skerry.errors import Throttled

from .codec import encode_publish

T = TypeVar("T")

# One peer may have this much unacknowledged; more waits here. The bytes bound keeps a slow link's write
# buffer below the size at which the link counts as never read.
IN_FLIGHT_MAX = 100
IN_FLIGHT_BYTES_MAX = 1024 * 1024
WAITING_MAX = 1000
_PACKET_ID_MAX = 65535


@dataclass(slots=True)
class _Waiting(Generic[T]):
    topic: str | bytes
    payload: bytes
    dup: bool
    token: T


class Window(Generic[T]):
    """Gives packet ids to messages, so many at a time; ``token`` is what the caller wants back."""

    def __init__(
        self,
        in_flight_max: int = IN_FLIGHT_MAX,
        bytes_max: int = IN_FLIGHT_BYTES_MAX,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._in_flight_max = in_flight_max
        self._bytes_max = bytes_max
        self._waiting_max = waiting_max
        self._sent: dict[int, tuple[T, int]] = {}
        self._sent_bytes = 0
        self._waiting: deque[_Waiting[T]] = deque()
        self._reserved: set[int] = set()
        self._last_id = 0

    def __len__(self) -> int:
        """Messages sent or waiting that have no PUBACK yet."""
        return len(self._sent) + len(self._waiting)

    @property
    def waiting(self) -> int:
        """Messages that wait for room."""
        return len(self._waiting)

    def send(self, topic: str | bytes, payload: bytes, token: T, *, dup: bool = False) -> bytes | None:
        """The packet that may go out at once, or None and the message waits; Throttled when too many do."""
        if self._waiting or not self._has_room():
            self.add(topic, payload, token, dup=dup)
            return None
        return self._packet(topic, payload, token, dup)

    def add(self, topic: str | bytes, payload: bytes, token: T, *, dup: bool = False) -> None:
        """Queue a message; Throttled when too many wait already."""
        if len(self._waiting) >= self._waiting_max:
            raise Throttled("too many messages wait for this peer", waiting=len(self._waiting))
        self._waiting.append(_Waiting(topic, payload, dup, token))

    def ready(self) -> list[bytes]:
        """The packets that may go out now."""
        packets = []
        while self._waiting and self._has_room():
            message = self._waiting.popleft()
            packets.append(self._packet(message.topic, message.payload, message.token, message.dup))
        return packets

    def _packet(self, topic: str | bytes, payload: bytes, token: T, dup: bool) -> bytes:
        packet_id = self._next_id()
        packet = encode_publish(topic, payload, 1, packet_id, dup=dup)
        self._sent[packet_id] = (token, len(packet))
        self._sent_bytes += len(packet)
        return packet

    def acknowledge(self, packet_id: int) -> T | None:
        """The token of the message; None for an id that is not in flight (a late or repeated PUBACK)."""
        entry = self._sent.pop(packet_id, None)
        if entry is None:
            return None
        self._sent_bytes -= entry[1]
        return entry[0]

    def tokens(self) -> list[T]:
        """The tokens of all messages without a PUBACK, oldest first."""
        return [token for token, _ in self._sent.values()] + [message.token for message in self._waiting]

    def lost(self) -> list[T]:
        """Empty the window and return its ``tokens``."""
        tokens = self.tokens()
        self._sent.clear()
        self._waiting.clear()
        self._reserved.clear()
        self._sent_bytes = 0
        return tokens

    def reserve(self) -> int:
        """A packet id for a SUBSCRIBE: it may not be one that is in flight (MQTT 3.1.1 §2.3.1)."""
        packet_id = self._next_id()
        self._reserved.add(packet_id)
        return packet_id

    def release(self, packet_id: int) -> None:
        """The SUBSCRIBE with this id is answered."""
        self._reserved.discard(packet_id)

    def _has_room(self) -> bool:
        # One message always fits, however large.
        return len(self._sent) < self._in_flight_max and (
            not self._sent or self._sent_bytes < self._bytes_max
        )

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % _PACKET_ID_MAX + 1
            if self._last_id not in self._sent and self._last_id not in self._reserved:
                return self._last_id
