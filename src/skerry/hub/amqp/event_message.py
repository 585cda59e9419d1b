"""A stored event as Event Hubs would deliver it (contract §4.8, step 6)."""

from __future__ import annotations

import logging

from skerry.amqp.fault import AmqpError
from skerry.amqp.message import Message, Properties, encode_message
from skerry.amqp.types import Long, Symbol, Value
from skerry.contract.hub_event import MESSAGE_SOURCE, TELEMETRY
from skerry.hub.telemetry import Event

from .management import milliseconds

log = logging.getLogger(__name__)

# System properties that travel as annotations.
_ANNOTATED = ("iothub-interface-id", "dt-subject", "outputName", "messageSchema")


def event_payload(event: Event, generation: str | None) -> bytes:
    """The bytes of one event; ``generation`` is that of its device, if it is registered."""
    try:
        return encode_message(_message(event, generation))
    except AmqpError as error:
        # Readers must get past an event with a property that AMQP cannot carry.
        log.warning("event %d goes without its properties: %s", event.sequence, error)
        return encode_message(Message(event.message.body, annotations=_annotations(event, generation)))


def _message(event: Event, generation: str | None) -> Message:
    system = event.message.system
    user = system.get("userId")
    properties = Properties(
        message_id=system.get("messageId"),
        user_id=None if user is None else user.encode(),
        correlation_id=system.get("correlationId"),
        content_type=system.get("contentType"),
        content_encoding=system.get("contentEncoding"),
    )
    annotations = _annotations(event, generation)
    annotations |= {Symbol(name): system[name] for name in _ANNOTATED if name in system}
    return Message(event.message.body, properties, dict(event.message.properties), annotations)


def _annotations(event: Event, generation: str | None) -> dict[Value, Value]:
    enqueued = milliseconds(event.enqueued)
    found: dict[str, Value] = {
        "x-opt-sequence-number": Long(event.sequence),
        "x-opt-offset": str(event.sequence),
        "x-opt-enqueued-time": enqueued,
        "iothub-connection-device-id": str(event.sender.device),
        "iothub-enqueuedtime": enqueued,
        MESSAGE_SOURCE: event.message.system.get(MESSAGE_SOURCE, TELEMETRY),
    }
    if event.sender.module is not None:
        found["iothub-connection-module-id"] = str(event.sender.module)
    if generation is not None:
        found["iothub-connection-auth-generation-id"] = generation
    return {Symbol(name): value for name, value in found.items()}
