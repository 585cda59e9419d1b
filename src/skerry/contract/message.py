"""A message with its properties, and the property bag they travel in (contract.md §2.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from urllib.parse import quote, unquote

from skerry.errors import InvalidInput

# IoT Hub refuses larger messages, properties included; we refuse them before they are queued.
MESSAGE_BYTES_MAX = 256 * 1024
# The bag is part of an MQTT topic, whose length is a 16-bit number (MQTT 3.1.1 §1.5.3).
BAG_CHARS_MAX = 65_535
NOTHING: Mapping[str, str] = MappingProxyType({})

_NAME_BY_WIRE = {
    "$.mid": "messageId",
    "$.cid": "correlationId",
    "$.uid": "userId",
    "$.ct": "contentType",
    "$.ce": "contentEncoding",
    "$.exp": "absolute-expiry-time",
    "$.to": "to",
    "$.on": "outputName",
    "$.cdid": "connectionDeviceId",
    "$.cmid": "connectionModuleId",
    "$.ctime": "creationTime",
    "$.schema": "messageSchema",
    "$.ifid": "iothub-interface-id",
    "$.sub": "dt-subject",
    "iothub-operation": "operation",
    "ack": "ack",
    "iothub-ack": "ack",
}
# Of two wire names for one meaning the later is written: Python's SDK reads ``iothub-ack``.
_WIRE_BY_NAME = {name: quote(wire, safe="") for wire, name in _NAME_BY_WIRE.items()}
# Most keys and values need no encoding; seeing that is cheaper than doing it.
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*")


@dataclass(frozen=True, slots=True)
class Message:
    """A body, application properties (None: a key without a value), system properties by internal name."""

    body: bytes
    properties: Mapping[str, str | None] = field(default_factory=dict)
    system: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes that count against MESSAGE_BYTES_MAX: the body and the encoded bag."""
        return len(self.body) + len(encode_bag(self))

    def with_system(self, changes: Mapping[str, str] = NOTHING, /, **more: str) -> Message:
        """This message with these system properties added or replaced."""
        return replace(self, system={**self.system, **changes, **more})

    def with_properties(self, changes: Mapping[str, str | None]) -> Message:
        """This message with these application properties added or replaced."""
        return replace(self, properties={**self.properties, **changes})


def encode_bag(message: Message) -> str:
    """The properties as ``k1=v1&k2=v2``, all but unreserved characters percent-encoded.

    System properties without a wire name (times the hub adds, say) stay out. InvalidInput for text that
    is not Unicode, or a bag over BAG_CHARS_MAX.
    """
    if not message.properties and not message.system:
        return ""
    parts = [
        f"{_WIRE_BY_NAME[name]}={_encoded(value)}"
        for name, value in message.system.items()
        if name in _WIRE_BY_NAME
    ]
    for name, value in message.properties.items():
        parts.append(_encoded(name) if value is None else f"{_encoded(name)}={_encoded(value)}")
    return _bounded("&".join(parts))


def decode_bag(text: str) -> tuple[dict[str, str | None], dict[str, str]]:
    """Application and system properties of a bag; the last of a repeated key counts. Raises InvalidInput."""
    properties: dict[str, str | None] = {}
    system: dict[str, str] = {}
    for part in _bounded(text).split("&"):
        if not part:
            continue
        key, equals, value = part.partition("=")
        name = _decoded(key)
        if name in _NAME_BY_WIRE:
            system[_NAME_BY_WIRE[name]] = _decoded(value)
        else:
            properties[name] = _decoded(value) if equals else None
    return properties, system


def _bounded(bag: str) -> str:
    if len(bag) > BAG_CHARS_MAX:
        raise InvalidInput("property bag is too long", chars=len(bag), chars_max=BAG_CHARS_MAX)
    return bag


def _encoded(text: str) -> str:
    if _UNRESERVED.fullmatch(text):
        return text
    try:
        return quote(text, safe="")
    except UnicodeEncodeError as exc:
        raise InvalidInput("property is not Unicode text", field="properties") from exc


def _decoded(text: str) -> str:
    # ``+`` stays literal: a blank is always %20 here.
    if "%" not in text:
        return text
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as exc:
        raise InvalidInput("property bag is not percent-encoded UTF-8", field="properties") from exc
