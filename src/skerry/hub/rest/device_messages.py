"""REST: messages of a device that speaks HTTP only (contract §2.10)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.contract.json_text import parse_json
from skerry.contract.message import MESSAGE_BYTES_MAX, Message
from skerry.contract.names import DeviceId, Identity
from skerry.errors import InvalidInput, TooLarge
from skerry.hub.command_rows import Command
from skerry.hub.commands import LOCK_S
from skerry.hub.rest.bodies import read_body
from skerry.hub.rest.callers import device_in, require_device, verbs_of

BATCH_TYPE = "application/vnd.microsoft.iothub.json"
_APPLICATION = "iothub-app-"
# Header → internal name of the system property.
_SYSTEM = {
    "iothub-messageid": "messageId",
    "iothub-correlationid": "correlationId",
    "iothub-userid": "userId",
    "iothub-expiry": "absolute-expiry-time",
    "iothub-contenttype": "contentType",
    "iothub-contentencoding": "contentEncoding",
    "iothub-interface-id": "iothub-interface-id",
}
# A header is ASCII without controls (RFC 9110 §5.5); the rest is percent-encoded.
_VALUE_SAFE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
_NAME_SAFE = "!#$&'*+-.^_`|~"


def routes() -> list[BaseRoute]:
    messages = "/devices/{device}/messages"
    lock = f"{messages}/devicebound/{{lock}}"
    return [
        Route(f"{messages}/events", send, methods=["POST"]),
        Route(f"{messages}/devicebound", receive, methods=["GET"]),
        Route(lock, complete_or_reject, methods=["DELETE"]),
        Route(f"{lock}/abandon", abandon, methods=["POST"]),
    ]


async def send(request: Request) -> Response:
    """One message, or a batch of them in JSON; 204 when all are durable."""
    device = device_in(request)
    require_device(request, device)
    body = await read_body(request)
    if request.headers.get("content-type", "").partition(";")[0].strip() == BATCH_TYPE:
        messages = [_in_batch(one) for one in _array(body)]
    else:
        messages = [_message(body, request.headers.items())]
    # Nothing of a batch is stored when one of it is too large.
    for message in messages:
        if message.size > MESSAGE_BYTES_MAX:
            raise TooLarge(f"a message is over {MESSAGE_BYTES_MAX} bytes", bytes=message.size)
    for message in messages:
        stamped = message.with_system(connectionDeviceId=str(device))
        await verbs_of(request).telemetry.append(Identity(device), stamped)
    return Response(status_code=204)


async def receive(request: Request) -> Response:
    """The next command, locked for a minute; 204 when there is none."""
    device = device_in(request)
    require_device(request, device)
    taken = await verbs_of(request).commands.take(device, LOCK_S)
    if taken is None:
        return Response(status_code=204)
    lock, command = taken
    return Response(command.message.body, headers=_headers(device, lock, command))


async def complete_or_reject(request: Request) -> Response:
    device = device_in(request)
    require_device(request, device)
    commands, lock = verbs_of(request).commands, request.path_params["lock"]
    end = commands.reject if "reject" in request.query_params else commands.complete
    await end(device, lock)
    return Response(status_code=204)


async def abandon(request: Request) -> Response:
    device = device_in(request)
    require_device(request, device)
    verbs_of(request).commands.abandon(device, request.path_params["lock"])
    return Response(status_code=204)


def _message(body: bytes, headers: Iterable[tuple[str, str]]) -> Message:
    properties: dict[str, str | None] = {}
    system: dict[str, str] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered in _SYSTEM:
            system[_SYSTEM[lowered]] = value
        elif lowered.startswith(_APPLICATION):
            properties[name[len(_APPLICATION) :]] = value
    return Message(body, properties, system)


def _array(body: bytes) -> list[Any]:
    document = parse_json(body)
    if not isinstance(document, list):
        raise InvalidInput("a batch is a JSON array", path="")
    return document


def _in_batch(item: Any) -> Message:
    properties = item.get("properties", {}) if isinstance(item, dict) else None
    if not isinstance(properties, dict) or not isinstance(item.get("body"), str):
        raise InvalidInput("a batch holds objects with body and properties", path="")
    pairs: Mapping[str, str] = {str(name): str(value) for name, value in properties.items()}
    try:
        body = base64.b64decode(item["body"], validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidInput("a body in a batch is not base64", path="body") from exc
    return _message(body, pairs.items())


def _headers(device: DeviceId, lock: str, command: Command) -> dict[str, str]:
    named = {
        "iothub-to": f"/devices/{device}/messages/devicebound",
        "iothub-ack": command.ack,
        "iothub-deliverycount": str(command.deliveries),
        "iothub-enqueuedtime": command.enqueued,
        "iothub-expiry": command.expires,
        "iothub-sequencenumber": str(command.sequence),
    }
    system = command.message.system
    named |= {header: system[name] for header, name in _SYSTEM.items() if name in system}
    for name, value in command.message.properties.items():
        named[_APPLICATION + quote(name, safe=_NAME_SAFE)] = value or ""
    encoded = {name: quote(value, safe=_VALUE_SAFE).strip() for name, value in named.items()}
    content_type = encoded.get("iothub-contenttype", "application/octet-stream")
    return {"etag": f'"{lock}"', "content-type": content_type, **encoded}
