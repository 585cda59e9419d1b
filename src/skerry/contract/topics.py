"""The MQTT topics of IoT Hub, both ways, as values (contract.md §2.2-2.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from skerry.contract.connect_name import ConnectName, parse_username, render_username
from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.errors import InvalidInput, NotAllowed

__all__ = [
    "C2D",
    "DESIRED_FILTER",
    "METHODS_FILTER",
    "TWIN_REPLY_FILTER",
    "ClientTopic",
    "ConnectName",
    "DesiredPatch",
    "Input",
    "MethodCall",
    "MethodReply",
    "ReportedPatch",
    "ServerTopic",
    "Telemetry",
    "TwinGet",
    "TwinReply",
    "c2d_filter",
    "c2d_topic",
    "desired_patch_topic",
    "input_topic",
    "inputs_filter",
    "method_call_topic",
    "method_reply_topic",
    "parse_client_topic",
    "parse_server_topic",
    "parse_username",
    "render_username",
    "reported_patch_topic",
    "telemetry_topic",
    "twin_get_topic",
    "twin_reply_topic",
]

# MQTT 3.1.1 §1.5.3: a string's length is a 16-bit number.
TOPIC_BYTES_MAX = 65_535
# Request ids are opaque to us; SDKs use UUIDs or small numbers.
RID_CHARS_MAX = 256
# Fits every number a hub hands out, and keeps hostile digits from becoming large integers.
NUMBER_DIGITS_MAX = 18

METHODS_FILTER = "$iothub/methods/POST/#"
TWIN_REPLY_FILTER = "$iothub/twin/res/#"
DESIRED_FILTER = "$iothub/twin/PATCH/properties/desired/#"

_TWIN_GET = "$iothub/twin/GET/"
_REPORTED = "$iothub/twin/PATCH/properties/reported/"
_DESIRED = "$iothub/twin/PATCH/properties/desired/"
_TWIN_REPLY = "$iothub/twin/res/"
_METHOD_CALL = "$iothub/methods/POST/"
_METHOD_REPLY = "$iothub/methods/res/"
_NUMBER = re.compile(rf"[0-9]{{1,{NUMBER_DIGITS_MAX}}}")
_STATUS = re.compile(r"-?[0-9]{1,10}")
# The wildcards, and NUL, are illegal in the topic of a PUBLISH (MQTT 3.1.1 §3.3.2.1, §1.5.3).
_UNPUBLISHABLE = re.compile(r"[+#\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Telemetry:
    """A device or module sends a message; ``bag`` as in message.decode_bag."""

    bag: str


@dataclass(frozen=True, slots=True)
class TwinGet:
    """A client asks for its twin."""

    rid: str


@dataclass(frozen=True, slots=True)
class ReportedPatch:
    """A client patches its reported properties."""

    rid: str


@dataclass(frozen=True, slots=True)
class MethodReply:
    """A client answers a direct method."""

    status: int
    rid: str


ClientTopic = Telemetry | TwinGet | ReportedPatch | MethodReply


@dataclass(frozen=True, slots=True)
class Input:
    """A message routed to a module's input."""

    input: str
    bag: str


@dataclass(frozen=True, slots=True)
class C2D:
    """A cloud-to-device message."""

    bag: str


@dataclass(frozen=True, slots=True)
class MethodCall:
    """A direct method asked of a client."""

    name: str
    rid: str


@dataclass(frozen=True, slots=True)
class TwinReply:
    """The answer to TwinGet or, with the new version, to ReportedPatch."""

    status: int
    rid: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class DesiredPatch:
    """Desired properties have changed; the payload is the patch."""

    version: int


ServerTopic = Input | C2D | MethodCall | TwinReply | DesiredPatch


def parse_client_topic(topic: str, sender: Identity) -> ClientTopic:
    """What ``sender`` means by publishing to ``topic``.

    InvalidInput for a topic that means nothing; NotAllowed for another identity's telemetry topic.
    """
    _check_length(topic)
    if topic.startswith("devices/"):
        return Telemetry(_telemetry_bag(topic, sender))
    if topic.startswith(_TWIN_GET):
        return TwinGet(_rid(_query(topic, _TWIN_GET), topic))
    if topic.startswith(_REPORTED):
        return ReportedPatch(_rid(_query(topic, _REPORTED), topic))
    if topic.startswith(_METHOD_REPLY):
        status, _, rest = topic.removeprefix(_METHOD_REPLY).partition("/")
        return MethodReply(_status(status, topic), _rid(_items(rest), topic))
    raise _unknown(topic)


def parse_server_topic(topic: str) -> ServerTopic:
    """What a hub means by publishing to ``topic``; InvalidInput for a topic that means nothing."""
    _check_length(topic)
    if topic.startswith("devices/"):
        return _delivery(topic)
    if topic.startswith(_METHOD_CALL):
        name, slash, query = topic.removeprefix(_METHOD_CALL).partition("/")
        if not name or not slash:
            raise _unknown(topic)
        return MethodCall(name, _rid(_items(query), topic))
    if topic.startswith(_TWIN_REPLY):
        status, _, rest = topic.removeprefix(_TWIN_REPLY).partition("/")
        items = _items(rest)
        version = _number(items["$version"], topic) if "$version" in items else None
        return TwinReply(_status(status, topic), _rid(items, topic), version)
    if topic.startswith(_DESIRED):
        return DesiredPatch(_number(_query(topic, _DESIRED).get("$version", ""), topic))
    raise _unknown(topic)


def telemetry_topic(identity: Identity, bag: str) -> str:
    """Where ``identity`` sends a message with this encoded bag."""
    return _published(f"{_root(identity)}/messages/events/{bag}")


def twin_get_topic(rid: str) -> str:
    """Where a client asks for its twin."""
    return f"{_TWIN_GET}?$rid={_checked_rid(rid)}"


def reported_patch_topic(rid: str) -> str:
    """Where a client patches its reported properties."""
    return f"{_REPORTED}?$rid={_checked_rid(rid)}"


def method_reply_topic(status: int, rid: str) -> str:
    """Where a client answers the method call ``rid``."""
    return f"{_METHOD_REPLY}{status}/?$rid={_checked_rid(rid)}"


def c2d_topic(device: DeviceId, bag: str) -> str:
    """Where a device gets cloud-to-device messages; the ``/`` stays for an empty bag (Node demands it)."""
    return _published(f"devices/{device}/messages/devicebound/{bag}")


def input_topic(identity: Identity, input: str, bag: str) -> str:
    """Where a module gets what is routed to its ``input``; InvalidInput unless that is one topic segment."""
    if identity.module is None or not input or "/" in input:
        raise InvalidInput("a message goes to a named input of a module", field="input", value=input)
    return _published(f"{_root(identity)}/inputs/{input}/{bag}")


def method_call_topic(name: str, rid: str) -> str:
    """Where a client is asked to run the method ``name``, which stands unencoded."""
    if not name or "/" in name:
        raise InvalidInput("a method name is one topic segment", field="methodName", value=name)
    return _published(f"{_METHOD_CALL}{name}/?$rid={_checked_rid(rid)}")


def twin_reply_topic(status: int, rid: str, version: int | None = None) -> str:
    """Where a client gets the answer to its twin request; ``?$rid=`` comes first (contract.md §2.6)."""
    tail = "" if version is None else f"&$version={version}"
    return f"{_TWIN_REPLY}{status}/?$rid={_checked_rid(rid)}{tail}"


def desired_patch_topic(version: int) -> str:
    """Where a client learns of new desired properties."""
    return f"{_DESIRED}?$version={version}"


def c2d_filter(device: DeviceId) -> str:
    """What a device subscribes to for cloud-to-device messages."""
    return f"devices/{device}/messages/devicebound/#"


def inputs_filter(identity: Identity) -> str:
    """What a module subscribes to for its inputs."""
    return f"{_root(identity)}/inputs/#"


def _root(identity: Identity) -> str:
    return identity.path[1:]


def _telemetry_bag(topic: str, sender: Identity) -> str:
    head, found, bag = topic.partition("/messages/events")
    if not found or (bag and not bag.startswith("/")):
        raise _unknown(topic)
    if head != _root(sender):
        _identity_of(head, topic)
        raise NotAllowed("topic belongs to another identity", topic=topic, sender=sender.client_id)
    # Node ends an output event's topic with one '/' after the bag (contract.md §2.2).
    return bag[1:].removesuffix("/")


def _delivery(topic: str) -> ServerTopic:
    match topic.split("/", 6):
        case ["devices", device, "messages", "devicebound", *bag]:
            _identity_of(f"devices/{device}", topic)
            return C2D("/".join(bag).removesuffix("/"))
        case ["devices", device, "modules", module, "inputs", name, *bag] if name:
            _identity_of(f"devices/{device}/modules/{module}", topic)
            return Input(name, "/".join(bag).removesuffix("/"))
    raise _unknown(topic)


def _identity_of(head: str, topic: str) -> Identity:
    """The identity whose topics start with ``head``; InvalidInput when there can be none."""
    match head.split("/"):
        case ["devices", device]:
            return Identity(DeviceId(device))
        case ["devices", device, "modules", module]:
            return Identity(DeviceId(device), ModuleId(module))
    raise _unknown(topic)


def _query(topic: str, prefix: str) -> dict[str, str]:
    return _items(topic.removeprefix(prefix))


def _items(text: str) -> dict[str, str]:
    """The items of ``?a=b&c=d``; empty when it is none."""
    if not text.startswith("?"):
        return {}
    pairs = (item.partition("=") for item in text[1:].split("&"))
    return {key: value for key, equals, value in pairs if equals}


def _rid(items: dict[str, str], topic: str) -> str:
    rid = items.get("$rid", "")
    if not 0 < len(rid) <= RID_CHARS_MAX:
        raise InvalidInput(
            "topic has no usable request id", hint="end it with ?$rid=…", topic=topic[:RID_CHARS_MAX]
        )
    return rid


def _checked_rid(rid: str) -> str:
    if not 0 < len(rid) <= RID_CHARS_MAX or "&" in rid:
        raise InvalidInput("illegal request id", field="rid", value=rid[:RID_CHARS_MAX])
    return _published(rid)


def _status(text: str, topic: str) -> int:
    if not _STATUS.fullmatch(text):
        raise _unknown(topic)
    return int(text)


def _number(text: str, topic: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise _unknown(topic)
    return int(text)


def _published(topic: str) -> str:
    if _UNPUBLISHABLE.search(topic):
        raise InvalidInput(
            "topic holds a character MQTT does not allow", field="topic", value=topic[:RID_CHARS_MAX]
        )
    return _check_length(topic)


def _check_length(topic: str) -> str:
    # Each character is at least one byte; only text near the bound is worth encoding.
    if len(topic) * 4 > TOPIC_BYTES_MAX and len(topic.encode("utf-8", "surrogatepass")) > TOPIC_BYTES_MAX:
        raise InvalidInput("topic is too long", bytes_max=TOPIC_BYTES_MAX)
    return topic


def _unknown(topic: str) -> InvalidInput:
    return InvalidInput("unknown topic", topic=topic[:RID_CHARS_MAX])
