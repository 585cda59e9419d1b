"""A message with its sections (OASIS AMQP 1.0 part 3 §3.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from .codec import decode_all, encode
from .composite import Composite, from_fields, to_value
from .fault import AmqpError
from .types import Described, Symbol, Timestamp, UInt, ULong, Value

_HEADER, _DELIVERY, _ANNOTATIONS, _PROPERTIES, _APPLICATION = 0x70, 0x71, 0x72, 0x73, 0x74
_DATA, _SEQUENCE, _VALUE, _FOOTER = 0x75, 0x76, 0x77, 0x78
_NAMES = {
    "amqp:header:list": _HEADER,
    "amqp:delivery-annotations:map": _DELIVERY,
    "amqp:message-annotations:map": _ANNOTATIONS,
    "amqp:properties:list": _PROPERTIES,
    "amqp:application-properties:map": _APPLICATION,
    "amqp:data:binary": _DATA,
    "amqp:amqp-sequence:list": _SEQUENCE,
    "amqp:amqp-value:*": _VALUE,
    "amqp:footer:map": _FOOTER,
}


@dataclass(frozen=True, slots=True)
class Properties(Composite):
    CODE: ClassVar[int] = _PROPERTIES
    NAME: ClassVar[str] = "amqp:properties:list"
    message_id: Value = None
    user_id: Annotated[bytes | None, bytes] = None
    to: Annotated[str | None, str] = None
    subject: Annotated[str | None, str] = None
    reply_to: Annotated[str | None, str] = None
    correlation_id: Value = None
    content_type: Annotated[str | None, Symbol] = None
    content_encoding: Annotated[str | None, Symbol] = None
    absolute_expiry_time: Annotated[int | None, Timestamp] = None
    creation_time: Annotated[int | None, Timestamp] = None
    group_id: Annotated[str | None, str] = None
    group_sequence: Annotated[int | None, UInt] = None
    reply_to_group_id: Annotated[str | None, str] = None


@dataclass(frozen=True, slots=True)
class Message:
    """``body`` is bytes (data sections, joined) or any other value (a value section)."""

    body: Value = b""
    properties: Properties = Properties()
    application: dict[str, Value] = field(default_factory=dict)
    annotations: dict[Value, Value] = field(default_factory=dict)


def encode_message(message: Message) -> bytes:
    """The sections of a message, empty maps left out."""
    parts = []
    if message.annotations:
        parts.append(_section(_ANNOTATIONS, message.annotations))
    if message.properties != Properties():
        parts.append(encode(to_value(message.properties)))
    if message.application:
        parts.append(_section(_APPLICATION, message.application))
    parts.append(_section(_DATA if isinstance(message.body, bytes) else _VALUE, message.body))
    return b"".join(parts)


def decode_message(data: bytes) -> Message:
    """The message of a transfer's bytes; header, delivery annotations and footer do not concern us."""
    found: dict[str, Any] = {}
    bodies: list[bytes] = []
    for section in decode_all(data):
        if not isinstance(section, Described):
            raise AmqpError("a message is made of sections")
        match _code(section.descriptor):
            case 0x72:
                found["annotations"] = _map(section.value)
            case 0x73:
                found["properties"] = from_fields(Properties, section.value)
            case 0x74:
                found["application"] = _map(section.value)
            case 0x75:
                if type(section.value) is not bytes:
                    raise AmqpError("a data section is binary")
                bodies.append(section.value)
            case 0x76 | 0x77:
                found["body"] = section.value
    if bodies:
        found["body"] = b"".join(bodies)
    return Message(**found)


def _section(code: int, value: Value) -> bytes:
    return encode(Described(ULong(code), value))


def _code(descriptor: Value) -> int:
    code = _NAMES.get(descriptor) if isinstance(descriptor, str) else descriptor
    if not isinstance(code, int) or not _HEADER <= code <= _FOOTER:
        raise AmqpError("a message has a section of an unknown kind")
    return code


def _map(value: Value) -> dict[Value, Value]:
    if not isinstance(value, dict):
        raise AmqpError("properties are a map")
    return value
