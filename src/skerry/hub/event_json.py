"""A stored event as JSON, for whoever reads events over HTTP."""

from __future__ import annotations

import base64
from typing import Any

from skerry.contract.json_text import compact, parse_json
from skerry.contract.message import Message
from skerry.errors import SkerryError
from skerry.hub.telemetry import Event


def event_json(event: Event) -> dict[str, Any]:
    """One event as a reader gets it. ``body`` is JSON when it says so and is, else base64 text."""
    document = {
        "sequence": event.sequence,
        "enqueuedTime": event.enqueued,
        "deviceId": str(event.sender.device),
        "moduleId": None if event.sender.module is None else str(event.sender.module),
        "properties": dict(event.message.properties),
        "systemProperties": dict(event.message.system),
    }
    return {**document, **body_json(event.message)}


def body_json(message: Message) -> dict[str, Any]:
    """``body``, with ``bodyEncoding`` when it is base64."""
    content_type = message.system.get("contentType", "").partition(";")[0].strip().lower()
    encoding = message.system.get("contentEncoding", "").lower()
    if content_type == "application/json" and encoding in ("utf-8", "utf8"):
        try:
            body = parse_json(message.body)
            compact(body)
            return {"body": body}
        except SkerryError:
            # It says JSON and is not (or holds 1e999, which is none either): the reader gets the bytes.
            return _base64(message.body)
    return _base64(message.body)


def _base64(body: bytes) -> dict[str, Any]:
    return {"body": base64.b64encode(body).decode(), "bodyEncoding": "base64"}
