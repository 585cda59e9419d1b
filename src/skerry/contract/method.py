"""A direct method: what is asked of a device, what it answers (contract.md §2.5, §4.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skerry.contract.json_text import Json, compact
from skerry.errors import InvalidInput, TooLarge

METHOD_NAME_CHARS_MAX = 100
# edgeHub's bound on a method's payload, as JSON text (contract.md §2.8).
METHOD_PAYLOAD_BYTES_MAX = 128 * 1024
RESPONSE_TIMEOUT_DEFAULT_S = 30
RESPONSE_TIMEOUT_MIN_S = 5
CONNECT_TIMEOUT_DEFAULT_S = 0
TIMEOUT_MAX_S = 300


@dataclass(frozen=True, slots=True)
class MethodRequest:
    """A method to call; raises InvalidInput or TooLarge unless name, payload and timeouts are legal."""

    name: str
    payload: Json = None
    response_timeout_s: float = RESPONSE_TIMEOUT_DEFAULT_S
    connect_timeout_s: float = CONNECT_TIMEOUT_DEFAULT_S

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_timeout("responseTimeoutInSeconds", self.response_timeout_s, RESPONSE_TIMEOUT_MIN_S)
        _check_timeout("connectTimeoutInSeconds", self.connect_timeout_s, 0)
        size = len(compact(self.payload).encode("utf-8", "surrogatepass"))
        if size > METHOD_PAYLOAD_BYTES_MAX:
            raise TooLarge("method payload is too large", bytes=size, bytes_max=METHOD_PAYLOAD_BYTES_MAX)

    @classmethod
    def parse(cls, document: Json) -> MethodRequest:
        """The request a service sent as JSON; a missing payload is null, a missing timeout the default."""
        if not isinstance(document, dict):
            raise InvalidInput("method request is not a JSON object", path="", value=document)
        return cls(
            document.get("methodName", ""),
            document.get("payload"),
            _given(document, "responseTimeoutInSeconds", RESPONSE_TIMEOUT_DEFAULT_S),
            _given(document, "connectTimeoutInSeconds", CONNECT_TIMEOUT_DEFAULT_S),
        )

    def to_json(self) -> dict[str, Any]:
        """The request as a service sends it."""
        return {
            "methodName": self.name,
            "payload": self.payload,
            "responseTimeoutInSeconds": self.response_timeout_s,
            "connectTimeoutInSeconds": self.connect_timeout_s,
        }


@dataclass(frozen=True, slots=True)
class MethodResponse:
    """What the device answered: its own status number and any JSON."""

    status: int
    payload: Json = None

    @classmethod
    def parse(cls, document: Json) -> MethodResponse:
        """The answer as a service gets it; InvalidInput when it has no integer status."""
        status = document.get("status") if isinstance(document, dict) else None
        if not isinstance(status, int) or isinstance(status, bool):
            raise InvalidInput("method response has no integer status", path="status", value=status)
        return cls(status, document.get("payload"))

    def to_json(self) -> dict[str, Any]:
        """The answer as a service gets it."""
        return {"status": self.status, "payload": self.payload}


def _given(document: dict[str, Any], key: str, default: float) -> float:
    value: Any = document.get(key)
    return default if value is None else value


def _check_name(name: object) -> None:
    # The name stands unencoded in an MQTT topic, where these would change its meaning.
    legal = (
        isinstance(name, str)
        and 0 < len(name) <= METHOD_NAME_CHARS_MAX
        and name.isprintable()
        and not set(name) & set("+#/?")
    )
    if not legal:
        raise InvalidInput(
            "illegal method name",
            hint=f"use 1 to {METHOD_NAME_CHARS_MAX} printable characters without + # / ?",
            path="methodName",
        )


def _check_timeout(path: str, value: float, least: int) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not least <= value <= TIMEOUT_MAX_S:
        raise InvalidInput(
            "illegal timeout", hint=f"use {least} to {TIMEOUT_MAX_S} seconds", path=path, value=value
        )
