"""``/messages/devicebound``: a service sends messages to devices."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from urllib.parse import unquote

from skerry.amqp.composite import to_value
from skerry.amqp.fault import (
    INTERNAL_ERROR,
    INVALID_FIELD,
    NOT_FOUND,
    RESOURCE_LIMIT,
    SIZE_EXCEEDED,
    UNAUTHORIZED,
    AmqpError,
)
from skerry.amqp.link import Link
from skerry.amqp.message import Message as Sent
from skerry.amqp.message import decode_message
from skerry.amqp.performatives import Accepted, Error, Outcome, Rejected
from skerry.amqp.types import Uuid, Value
from skerry.clock import iso
from skerry.contract.hub_limits import Operation
from skerry.contract.message import Message
from skerry.contract.names import DeviceId
from skerry.errors import InvalidInput, NotAllowed, NotFound, SkerryError, Throttled, TooLarge, Unsupported
from skerry.hub.commands import Commands
from skerry.hub.policies import Right
from skerry.hub.throttle import Throttle

from .visit import Node, Visit

log = logging.getLogger(__name__)

ACKS = ("iothub-ack", "ack")


class CommandSender(Node):
    """Messages are queued in the order they came; each is accepted once it is durable."""

    def __init__(self, visit: Visit, link: Link, commands: Commands, throttle: Throttle) -> None:
        self._throttle = throttle
        self._visit = visit
        self._link = link
        self._commands = commands
        # No longer than the credit the link gives.
        self._arrived: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self._task = asyncio.ensure_future(self._run())

    def delivered(self, delivery_id: int, payload: bytes) -> None:
        self._arrived.put_nowait((delivery_id, payload))

    def ended(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            delivery_id, payload = await self._arrived.get()
            outcome = await self._queue(payload)
            self._visit.wire.connection.settle(self._link, delivery_id, outcome)
            self._visit.wire.flush()

    async def _queue(self, payload: bytes) -> Outcome:
        try:
            if not self._visit.may(Right.SERVICE_CONNECT):
                raise NotAllowed("the token has ended")
            for policy in self._visit.grants:
                self._throttle.take(f"policy {policy}", Operation.COMMAND_SEND)
            device, message = command_of(decode_message(payload))
            await self._commands.send(device, message)
            return Accepted()
        except SkerryError as error:
            log.info("command of %s refused: %s", self._visit.wire.peer, error)
            return Rejected(to_value(Error(_condition(error), str(error))))


def command_of(sent: Sent) -> tuple[DeviceId, Message]:
    """The device a message is for, with the message as the device will get it; raises InvalidInput."""
    device = _device(sent.properties.to or "")
    body = sent.body
    if isinstance(body, str):
        body = body.encode()
    if not isinstance(body, bytes):
        raise Unsupported("the body is neither bytes nor text")
    system = {
        "messageId": _text(sent.properties.message_id),
        "correlationId": _text(sent.properties.correlation_id),
        "userId": None
        if sent.properties.user_id is None
        else sent.properties.user_id.decode("utf-8", "replace"),
        "contentType": sent.properties.content_type,
        "contentEncoding": sent.properties.content_encoding,
        "absolute-expiry-time": _moment(sent.properties.absolute_expiry_time),
    }
    properties = {str(name): _text(value) for name, value in sent.application.items()}
    for name in ACKS:
        if (ack := properties.pop(name, None)) is not None:
            system["ack"] = ack
    return device, Message(
        body, properties, {name: value for name, value in system.items() if value is not None}
    )


def _device(to: str) -> DeviceId:
    """Node encodes the id, Python does not (contract §4.8); ids hold nothing that decoding would change."""
    match to.strip("/").split("/"):
        case ["devices", device, "messages", kind] if kind.lower() == "devicebound":
            return DeviceId(unquote(device))
    raise InvalidInput(f"no device in {to[:200]!r}", hint="/devices/{id}/messages/devicebound", field="to")


def _text(value: Value) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case Uuid():
            plain = value.hex()
            return "-".join((plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:]))
        case bytes():
            return value.decode("utf-8", "replace")
        case int():
            return str(int(value))
        case str():
            return str(value)
        case _:
            return repr(value)


def _moment(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    try:
        return iso(datetime.fromtimestamp(milliseconds / 1000, UTC))
    except (OverflowError, ValueError, OSError) as exc:
        raise InvalidInput("the expiry is no time", field="absolute-expiry-time") from exc


def _condition(error: SkerryError) -> str:
    match error:
        case AmqpError():
            return error.condition
        case NotFound():
            return NOT_FOUND
        case NotAllowed():
            return UNAUTHORIZED
        case Throttled():
            return RESOURCE_LIMIT
        case TooLarge():
            return SIZE_EXCEEDED
        case InvalidInput() | Unsupported():
            return INVALID_FIELD
        case _:
            return INTERNAL_ERROR
