"""What a hub's answers mean to a service: documents, or one of our errors."""

from __future__ import annotations

from typing import Any

import httpx

from skerry import errors
from skerry.errors import SkerryError, Unavailable

KINDS: dict[int, type[SkerryError]] = {
    400: errors.InvalidInput,
    401: errors.NotAuthenticated,
    403: errors.NotAllowed,
    404: errors.NotFound,
    409: errors.AlreadyExists,
    412: errors.PreconditionFailed,
    413: errors.TooLarge,
    429: errors.Throttled,
    501: errors.Unsupported,
    504: errors.TimedOut,
}

Json = dict[str, Any]


def error_of(response: httpx.Response) -> SkerryError:
    """Our kind of error for the hub's answer, with the fields that say where the fault is."""
    try:
        document = response.json()
    except ValueError:
        document = None
    fields = dict(document) if isinstance(document, dict) else {}
    message = str(fields.pop("Message", fields.pop("message", f"the hub answered {response.status_code}")))
    for name in ("ExceptionMessage", "errorCode", "trackingId", "timestampUtc"):
        fields.pop(name, None)
    code_name = response.headers.get("iothub-errorcode", "")
    kind = KINDS.get(response.status_code, Unavailable)
    if code_name == "DeviceNotOnline":
        # A 404 at IoT Hub, and yet no reason to doubt the name.
        kind = Unavailable
    text = message.partition(";")[2] or message
    return kind(text, code_name=code_name, **fields)


def as_object(value: Any) -> Json:
    """The answer as the object it has to be; raises Unavailable."""
    if not isinstance(value, dict):
        raise Unavailable("the hub did not answer with a JSON object", hint="is this a Skerry hub?")
    return value


def as_list(value: Any) -> list[Json]:
    """The answer as the array it has to be; raises Unavailable."""
    if not isinstance(value, list):
        raise Unavailable("the hub did not answer with a JSON array", hint="is this a Skerry hub?")
    return value
