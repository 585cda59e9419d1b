"""Bytes of MQTT 3.1.1 to packets and back."""

from __future__ import annotations

from collections.abc import Callable

from skerry.errors import InvalidInput

from .filters import validate_filter
from .packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Will,
)

# IoT Hub takes messages of 256 KiB; a topic (with its property bag) and the packet id come on top.
PACKET_BYTES_MAX = 256 * 1024 + 2 + 65535 + 2

# MQTT 3.1.1 §2.2.3: four bytes of seven bits.
_REMAINING_MAX = 268_435_455
_PROTOCOL = b"\x00\x04MQTT"
_LEVEL = 4


class MqttError(InvalidInput):
    """The peer broke MQTT 3.1.1; the link has to end."""


class UnsupportedVersion(MqttError):
    """The peer speaks another version of MQTT; it is told so by CONNACK 1 (MQTT 3.1.1 §3.1.2.2)."""


class Decoder:
    """Cuts a stream into packets; after it raised MqttError it is not to be used again."""

    def __init__(self, max_bytes: int = PACKET_BYTES_MAX) -> None:
        self.max_bytes = max_bytes
        self._rest = bytearray()
        self._needed = 2  # no packet can be complete before the rest is this long
        # Publishers mostly repeat their topic.
        self._last_topic = (b"", "")

    def feed(self, data: bytes) -> list[Packet]:
        """All packets that are complete with ``data``; the bytes of a packet that is not stay for later."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            data = bytes(self._rest)
        packets: list[Packet] = []
        start = 0
        size = len(data)
        while size - start >= 2:
            length = data[start + 1]
            body = start + 2
            if length >= 0x80:
                length, body = _remaining_length(data, start + 1)
                if body < 0:
                    self._needed = size - start + 1
                    break
            if length > self.max_bytes:
                raise MqttError(f"a packet of {length} bytes is over the bound of {self.max_bytes}")
            end = body + length
            if end > size:
                self._needed = end - start
                break
            first = data[start]
            if first & 0xF0 == 0x30:
                packets.append(self._publish(first, data, body, end))
            elif first == 0x40 and length == 2 and (data[body] or data[body + 1]):
                packets.append(PubAck(data[body] << 8 | data[body + 1]))
            else:
                packets.append(_decode(first, data[body:end]))
            start = end
        else:
            self._needed = 2
        if start < size:
            self._rest = bytearray(data[start:]) if start or not self._rest else self._rest
        elif self._rest:
            self._rest = bytearray()
        return packets

    def _publish(self, first: int, data: bytes, at: int, end: int) -> Publish:
        if end - at < 2:
            raise MqttError("PUBLISH is cut short")
        body = at + 2 + (data[at] << 8 | data[at + 1])
        if body > end:
            raise MqttError("the topic of a PUBLISH is cut short")
        name = data[at + 2 : body]
        known, topic = self._last_topic
        if name != known or not name:
            topic = _topic(name)
            self._last_topic = (name, topic)
        qos = first >> 1 & 3
        if not qos:
            return Publish(topic, data[body:end], 0, first & 1 == 1, first & 8 == 8, 0)
        if qos == 3:
            raise MqttError("a PUBLISH has QoS 3")
        if end - body < 2:
            raise MqttError("PUBLISH is cut short")
        packet_id = data[body] << 8 | data[body + 1]
        if not packet_id:
            raise MqttError("a packet id is 0")
        return Publish(topic, data[body + 2 : end], qos, first & 1 == 1, first & 8 == 8, packet_id)


def _topic(name: bytes) -> str:
    try:
        topic = name.decode()
    except UnicodeDecodeError as exc:
        raise MqttError("a topic is not UTF-8") from exc
    if not topic or "#" in topic or "+" in topic or "\0" in topic:
        raise MqttError(f"{topic[:80]!r} is not a topic", hint="a topic is not empty and has no + # NUL")
    return topic


def _remaining_length(data: bytes, at: int) -> tuple[int, int]:
    """The length and where the body starts; a start of -1 when the length itself is cut off."""
    value = 0
    for place in range(4):
        if at + place >= len(data):
            return 0, -1
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise MqttError("the remaining length has more than four bytes")


class _Body:
    """Reads one packet's fields in turn."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        part = self._data[self._at : self._at + count]
        if len(part) < count:
            raise MqttError("a packet is cut short")
        self._at += count
        return part

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def packet_id(self) -> int:
        value = self.number()
        if not value:
            raise MqttError("a packet id is 0")
        return value

    def binary(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        try:
            value = self.binary().decode()
        except UnicodeDecodeError as exc:
            raise MqttError("a string is not UTF-8") from exc
        if "\0" in value:
            raise MqttError("a string holds NUL")
        return value

    def topic_filter(self) -> str:
        value = self.text()
        try:
            validate_filter(value)
        except InvalidInput as exc:
            raise MqttError(exc.what, hint=exc.hint) from exc
        return value

    @property
    def more(self) -> bool:
        return self._at < len(self._data)

    def end(self) -> None:
        if self.more:
            raise MqttError("a packet is longer than its fields")


def _decode(first: int, data: bytes) -> Packet:
    known = _READERS.get(first)
    if known is None:
        raise MqttError(f"0x{first:02x} starts no packet of MQTT 3.1.1")
    body = _Body(data)
    packet = known(body)
    body.end()
    return packet


def _connect(body: _Body) -> Connect:
    name = body.binary()
    level = body.byte()
    if (name, level) != (b"MQTT", _LEVEL):
        if name in (b"MQTT", b"MQIsdp"):
            raise UnsupportedVersion(f"MQTT protocol level {level} is not spoken here", hint="use MQTT 3.1.1")
        raise MqttError("a CONNECT does not name MQTT")
    flags = body.byte()
    keep_alive_s = body.number()
    has_will, will_qos = bool(flags & 4), flags >> 3 & 3
    if flags & 1 or will_qos == 3 or (not has_will and flags & 0x38) or flags & 0xC0 == 0x40:
        raise MqttError("the flags of a CONNECT contradict each other")
    client_id = body.text()
    will = Will(body.text(), body.binary(), will_qos, bool(flags & 0x20)) if has_will else None
    username = body.text() if flags & 0x80 else None
    password = body.binary() if flags & 0x40 else None
    return Connect(client_id, bool(flags & 2), keep_alive_s, username, password, will)


def _connack(body: _Body) -> ConnAck:
    present = body.byte()
    if present > 1:
        raise MqttError("the flags of a CONNACK are reserved")
    return ConnAck(bool(present), body.byte())


def _subscribe(body: _Body) -> Subscribe:
    packet_id = body.packet_id()
    filters = []
    while body.more:
        wanted, qos = body.topic_filter(), body.byte()
        if qos > 2:
            raise MqttError("a SUBSCRIBE asks for a QoS over 2")
        filters.append((wanted, qos))
    if not filters:
        raise MqttError("a SUBSCRIBE has no filter")
    return Subscribe(packet_id, tuple(filters))


def _suback(body: _Body) -> SubAck:
    packet_id = body.packet_id()
    codes = []
    while body.more:
        codes.append(body.byte())
    return SubAck(packet_id, tuple(codes))


def _unsubscribe(body: _Body) -> Unsubscribe:
    packet_id = body.packet_id()
    filters = []
    while body.more:
        filters.append(body.topic_filter())
    if not filters:
        raise MqttError("an UNSUBSCRIBE has no filter")
    return Unsubscribe(packet_id, tuple(filters))


_READERS: dict[int, Callable[[_Body], Packet]] = {
    0x10: _connect,
    0x20: _connack,
    0x40: lambda body: PubAck(body.packet_id()),
    0x82: _subscribe,
    0x90: _suback,
    0xA2: _unsubscribe,
    0xB0: lambda body: UnsubAck(body.packet_id()),
    0xC0: lambda body: PingReq(),
    0xD0: lambda body: PingResp(),
    0xE0: lambda body: Disconnect(),
}


def encode(packet: Packet) -> bytes:
    """The bytes of ``packet``; InvalidInput when a field does not fit its place."""
    match packet:
        case Publish(topic, payload, qos, retain, dup, packet_id):
            return encode_publish(topic, payload, qos, packet_id, dup=dup, retain=retain)
        case PubAck(packet_id):
            return encode_puback(packet_id)
        case Connect():
            return _framed(0x10, _connect_body(packet))
        case ConnAck(present, code):
            return bytes((0x20, 2, present, code))
        case Subscribe(packet_id, wishes):
            parts = [_text(wanted) + bytes((qos,)) for wanted, qos in wishes]
            return _framed(0x82, packet_id.to_bytes(2, "big") + b"".join(parts))
        case SubAck(packet_id, codes):
            return _framed(0x90, packet_id.to_bytes(2, "big") + bytes(codes))
        case Unsubscribe(packet_id, filters):
            return _framed(0xA2, packet_id.to_bytes(2, "big") + b"".join(map(_text, filters)))
        case UnsubAck(packet_id):
            return b"\xb0\x02" + packet_id.to_bytes(2, "big")
        case PingReq():
            return b"\xc0\x00"
        case PingResp():
            return b"\xd0\x00"
        case Disconnect():
            return b"\xe0\x00"


def encode_puback(packet_id: int) -> bytes:
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def encode_publish(
    topic: str | bytes,
    payload: bytes,
    qos: int = 0,
    packet_id: int = 0,
    *,
    dup: bool = False,
    retain: bool = False,
) -> bytes:
    """A topic of bytes is UTF-8 already."""
    name = _utf8(topic) if isinstance(topic, str) else topic
    first = 0x30 | qos << 1
    if dup:
        first |= 8
    if retain:
        first |= 1
    size = len(name)
    length = 2 + size + len(payload)
    if qos:
        length += 2
    if size > 65535 or not name or length > _REMAINING_MAX:
        shown = name[:80].decode(errors="replace")
        raise InvalidInput("a topic or payload does not fit a PUBLISH", field="topic", value=shown)
    if 0x80 <= length < 0x4000:
        # Most messages: the remaining length has two bytes.
        head = bytes((first, length & 0x7F | 0x80, length >> 7, size >> 8, size & 0xFF))
    else:
        head = bytes((first,)) + _length(length) + size.to_bytes(2, "big")
    if qos:
        return b"".join((head, name, packet_id.to_bytes(2, "big"), payload))
    return b"".join((head, name, payload))


def _connect_body(packet: Connect) -> bytes:
    flags = packet.clean_session << 1
    parts = [_text(packet.client_id)]
    if packet.will is not None:
        flags |= 4 | packet.will.qos << 3 | packet.will.retain << 5
        parts += [_text(packet.will.topic), _binary(packet.will.payload)]
    if packet.username is not None:
        flags |= 0x80
        parts.append(_text(packet.username))
    if packet.password is not None:
        flags |= 0x40
        parts.append(_binary(packet.password))
    head = _PROTOCOL + bytes((_LEVEL, flags)) + packet.keep_alive_s.to_bytes(2, "big")
    return head + b"".join(parts)


def _framed(first: int, body: bytes) -> bytes:
    return bytes((first,)) + _length(len(body)) + body


def _length(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _text(value: str) -> bytes:
    return _binary(_utf8(value))


def _utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError as exc:
        raise InvalidInput("a text is not Unicode: it has half of a surrogate pair") from exc


def _binary(value: bytes) -> bytes:
    if len(value) > 65535:
        raise InvalidInput("a string of MQTT has at most 65535 bytes", value=len(value))
    return len(value).to_bytes(2, "big") + value
