"""AMQP values to bytes and back (OASIS AMQP 1.0 part 1)."""

from __future__ import annotations

import struct
from collections.abc import Callable

from .fault import AmqpError
from .types import (
    Array,
    Byte,
    Char,
    Described,
    Float,
    Int,
    Long,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
    Uuid,
    Value,
)

# Real messages nest three or four levels; the bound keeps a hostile one off Python's stack.
DEPTH_MAX = 24

_DESCRIBED = 0x00
_LIST_0, _LIST_8, _LIST_32 = 0x45, 0xC0, 0xD0
_MAP_8, _MAP_32 = 0xC1, 0xD1
_ARRAY_8, _ARRAY_32 = 0xE0, 0xF0

# Code → struct format and type, for every value of a fixed width.
_FIXED: dict[int, tuple[struct.Struct, Callable[[int], Value]]] = {
    0x50: (struct.Struct(">B"), UByte),
    0x51: (struct.Struct(">b"), Byte),
    0x52: (struct.Struct(">B"), UInt),
    0x53: (struct.Struct(">B"), ULong),
    0x54: (struct.Struct(">b"), Int),
    0x55: (struct.Struct(">b"), Long),
    0x56: (struct.Struct(">?"), bool),
    0x60: (struct.Struct(">H"), UShort),
    0x61: (struct.Struct(">h"), Short),
    0x70: (struct.Struct(">I"), UInt),
    0x71: (struct.Struct(">i"), Int),
    0x72: (struct.Struct(">f"), Float),
    0x80: (struct.Struct(">Q"), ULong),
    0x81: (struct.Struct(">q"), Long),
    0x82: (struct.Struct(">d"), float),
    0x83: (struct.Struct(">q"), Timestamp),
}
_EMPTY: dict[int, Callable[[], Value]] = {
    0x40: lambda: None,
    0x41: lambda: True,
    0x42: lambda: False,
    0x43: lambda: UInt(0),
    0x44: lambda: ULong(0),
    _LIST_0: list,
}
# Type → its code of full width; below, its code of one byte.
_WIDE: dict[type, int] = {
    UByte: 0x50,
    Byte: 0x51,
    UShort: 0x60,
    Short: 0x61,
    UInt: 0x70,
    Int: 0x71,
    Float: 0x72,
    ULong: 0x80,
    Long: 0x81,
    int: 0x81,
    float: 0x82,
    Timestamp: 0x83,
    bool: 0x56,
}
_NARROW: dict[type, int] = {UInt: 0x52, ULong: 0x53, Int: 0x54, Long: 0x55, int: 0x55}
_SIGNED = (Int, Long, int)
# Type → the codes with an 8-bit and a 32-bit length.
_VARIABLE: dict[type, tuple[int, int]] = {bytes: (0xA0, 0xB0), str: (0xA1, 0xB1), Symbol: (0xA3, 0xB3)}
_LENGTH = {0xA0: 1, 0xA1: 1, 0xA3: 1, 0xB0: 4, 0xB1: 4, 0xB3: 4}
_COMPOUND = {
    _LIST_8: 1,
    _MAP_8: 1,
    _ARRAY_8: 1,
    _LIST_32: 4,
    _MAP_32: 4,
    _ARRAY_32: 4,
}


def encode(value: Value) -> bytes:
    """The bytes of a value; AmqpError for what AMQP has no type for, or an array of several types."""
    kind = type(value)
    if value is None:
        return b"\x40"
    if kind is bool:
        return b"\x41" if value else b"\x42"
    if kind in _NARROW and (-128 <= value <= 127 if kind in _SIGNED else value <= 255):
        return bytes((_NARROW[kind], value & 0xFF))
    if kind in _WIDE:
        return bytes((_WIDE[kind],)) + _pack(_WIDE[kind], value)
    if kind in _VARIABLE:
        raw = _raw(value)
        short, long = _VARIABLE[kind]
        return bytes((short, len(raw))) + raw if len(raw) < 256 else struct.pack(">BI", long, len(raw)) + raw
    if kind is Described:
        return b"\x00" + encode(value.descriptor) + encode(value.value)
    if kind is list:
        return _compound(_LIST_8, _LIST_32, len(value), b"".join(map(encode, value)))
    if kind is dict:
        body = b"".join(encode(part) for item in value.items() for part in item)
        return _compound(_MAP_8, _MAP_32, 2 * len(value), body)
    if kind is Array:
        return _compound(_ARRAY_8, _ARRAY_32, len(value.items), _array_body(value.items))
    if kind is Uuid:
        return b"\x98" + _sixteen(value)
    if kind is Char:
        return b"\x73" + _char(value)
    raise AmqpError(f"AMQP has no type for {kind.__name__}")


def decode(data: bytes, at: int = 0) -> tuple[Value, int]:
    """The value at ``at`` and where the next begins; AmqpError for anything else."""
    try:
        return _decode(data, at, DEPTH_MAX)
    except (IndexError, struct.error) as exc:
        raise AmqpError("a value is cut off") from exc


def decode_all(data: bytes) -> list[Value]:
    """Values one after the other until the end."""
    found, at = [], 0
    while at < len(data):
        value, at = decode(data, at)
        found.append(value)
    return found


def _decode(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    if depth == 0:
        raise AmqpError(f"values are nested deeper than {DEPTH_MAX}")
    code = data[at]
    if code != _DESCRIBED:
        return _decode_as(code, data, at + 1, depth)
    descriptor, at = _decode(data, at + 1, depth - 1)
    value, at = _decode(data, at, depth - 1)
    return Described(descriptor, value), at


def _decode_as(code: int, data: bytes, at: int, depth: int) -> tuple[Value, int]:
    if code in _EMPTY:
        return _EMPTY[code](), at
    if code in _FIXED:
        form, kind = _FIXED[code]
        return kind(form.unpack_from(data, at)[0]), at + form.size
    if code in _LENGTH:
        start = at + _LENGTH[code]
        end = start + int.from_bytes(_slice(data, at, start), "big")
        return _text(code, _slice(data, start, end)), end
    if code in _COMPOUND:
        return _decode_compound(code, data, at, depth)
    if code == 0x98:
        return Uuid(_slice(data, at, at + 16)), at + 16
    if code == 0x73:
        return _text(code, _slice(data, at, at + 4)), at + 4
    raise AmqpError(f"type code 0x{code:02x} is not known here")


def _decode_compound(code: int, data: bytes, at: int, depth: int) -> tuple[Value, int]:
    width = _COMPOUND[code]
    start = at + width
    end = start + int.from_bytes(_slice(data, at, start), "big")
    inner = _slice(data, start, end)
    count = int.from_bytes(_slice(inner, 0, width), "big")
    # Each item takes a byte at least; in an array the exceptions (nulls) are nothing anybody would send.
    if count > len(inner):
        raise AmqpError("a list says it has more items than bytes")
    if code in (_ARRAY_8, _ARRAY_32):
        return Array(_array_items(inner, width, count, depth)), end
    values, place = [], width
    for _ in range(count):
        value, place = _decode(inner, place, depth - 1)
        values.append(value)
    if place != len(inner):
        raise AmqpError("a list is longer than its items")
    if code in (_LIST_8, _LIST_32):
        return values, end
    return _mapping(values), end


def _array_items(inner: bytes, at: int, count: int, depth: int) -> tuple[Value, ...]:
    descriptor: Value = None
    code = inner[at]
    at += 1
    described = code == _DESCRIBED
    if described:
        descriptor, at = _decode(inner, at, depth - 1)
        code = inner[at]
        at += 1
    items: list[Value] = []
    for _ in range(count):
        if depth == 1:
            raise AmqpError(f"values are nested deeper than {DEPTH_MAX}")
        value, at = _decode_as(code, inner, at, depth - 1)
        items.append(Described(descriptor, value) if described else value)
    if at != len(inner):
        raise AmqpError("an array is longer than its items")
    return tuple(items)


def _mapping(values: list[Value]) -> dict[Value, Value]:
    if len(values) % 2:
        raise AmqpError("a map has a key without a value")
    try:
        made = dict(zip(values[::2], values[1::2], strict=True))
    except TypeError as exc:
        raise AmqpError("a map has a key that is a list or a map") from exc
    if 2 * len(made) != len(values):
        raise AmqpError("a map has a key twice")
    return made


def _array_body(items: tuple[Value, ...]) -> bytes:
    if not items:
        return b"\x40"
    kind = type(items[0])
    if any(type(item) is not kind for item in items):
        raise AmqpError("an array is of one type")
    if kind in _WIDE:
        return bytes((_WIDE[kind],)) + b"".join(_pack(_WIDE[kind], item) for item in items)
    if kind in _VARIABLE:
        raws = [_raw(item) for item in items]
        body = b"".join(struct.pack(">I", len(raw)) + raw for raw in raws)
        return bytes((_VARIABLE[kind][1],)) + body
    if kind is Uuid:
        return b"\x98" + b"".join(_sixteen(item) for item in items)
    if kind is Char:
        return b"\x73" + b"".join(_char(item) for item in items)
    raise AmqpError(f"arrays of {kind.__name__} are not written here")


def _compound(short: int, long: int, count: int, body: bytes) -> bytes:
    if len(body) < 255 and count < 256:
        return bytes((short, len(body) + 1, count)) + body
    return struct.pack(">BII", long, len(body) + 4, count) + body


def _pack(code: int, value: Value) -> bytes:
    try:
        return _FIXED[code][0].pack(value)
    except (struct.error, OverflowError) as exc:
        raise AmqpError(f"{type(value).__name__} {value} does not fit") from exc


def _raw(value: str | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return value.encode("ascii" if isinstance(value, Symbol) else "utf-8")
    except UnicodeEncodeError as exc:
        raise AmqpError("text holds what AMQP cannot carry") from exc


def _sixteen(value: Uuid) -> bytes:
    if len(value) != 16:
        raise AmqpError("a uuid has 16 bytes")
    return bytes(value)


def _char(value: Char) -> bytes:
    if len(value) != 1:
        raise AmqpError("a char is one character")
    try:
        return value.encode("utf-32-be")
    except UnicodeEncodeError as exc:
        raise AmqpError("text holds what AMQP cannot carry") from exc


def _text(code: int, raw: bytes) -> Value:
    try:
        match code:
            case 0xA0 | 0xB0:
                return raw
            case 0xA1 | 0xB1:
                return raw.decode()
            case 0x73:
                return Char(raw.decode("utf-32-be"))
            case _:
                return Symbol(raw.decode("ascii"))
    except UnicodeDecodeError as exc:
        raise AmqpError("text is not in its encoding") from exc


def _slice(data: bytes, start: int, end: int) -> bytes:
    if end > len(data):
        raise AmqpError("a value is cut off")
    return data[start:end]
