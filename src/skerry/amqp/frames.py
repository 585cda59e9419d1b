"""Frames: how performatives are cut out of a stream of bytes (OASIS AMQP 1.0 part 2 §2.3)."""

from __future__ import annotations

from dataclasses import dataclass

from .codec import decode, encode
from .composite import Composite, to_value
from .fault import FRAMING_ERROR, AmqpError
from .performatives import PERFORMATIVES, known

# What we take and announce, as IoT Hub does (contract.md §4.8).
FRAME_BYTES_MAX = 65_536
# Every peer takes frames of this size (part 2 §2.3.1).
FRAME_BYTES_LEAST = 512

AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
HEADER_BYTES = 8
AMQP, SASL = 0, 1
HEARTBEAT = b"\x00\x00\x00\x08\x02\x00\x00\x00"


@dataclass(frozen=True, slots=True)
class ProtocolHeader:
    """What a peer begins with: which protocol, which version."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """One performative on a channel, a transfer's bytes with it; ``part`` None is a sign of life."""

    kind: int
    channel: int
    part: Composite | None
    payload: bytes = b""


def encode_frame(part: Composite, channel: int = 0, payload: bytes = b"", kind: int = AMQP) -> bytes:
    """The bytes of one frame."""
    body = encode(to_value(part)) + payload
    return (len(body) + 8).to_bytes(4, "big") + bytes((2, kind)) + channel.to_bytes(2, "big") + body


class FrameReader:
    """Bytes in any pieces to headers and frames."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Take up what arrived."""
        self._data += data

    def next(self) -> ProtocolHeader | Frame | None:
        """The next whole header or frame, None while it is not all here; AmqpError when it is neither."""
        if len(self._data) < HEADER_BYTES:
            return None
        if self._data[:4] == b"AMQP":
            return ProtocolHeader(self._take(HEADER_BYTES))
        size = int.from_bytes(self._data[:4], "big")
        if not 8 <= size <= FRAME_BYTES_MAX:
            raise AmqpError(f"a frame of {size} bytes", FRAMING_ERROR, bytes_max=FRAME_BYTES_MAX)
        if len(self._data) < size:
            return None
        return _frame(self._take(size))

    def _take(self, size: int) -> bytes:
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken


def _frame(data: bytes) -> Frame:
    offset = 4 * data[4]
    if not 8 <= offset <= len(data):
        raise AmqpError("a frame's body begins outside of it", FRAMING_ERROR)
    kind, channel = data[5], int.from_bytes(data[6:8], "big")
    if kind not in (AMQP, SASL):
        raise AmqpError(f"frame type {kind}", FRAMING_ERROR)
    if offset == len(data):
        return Frame(kind, channel, None)
    value, end = decode(data, offset)
    return Frame(kind, channel, known(value, PERFORMATIVES), data[end:])
