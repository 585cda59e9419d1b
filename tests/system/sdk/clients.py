"""What tests make of Microsoft's Python clients: messages, answers to methods, notifications."""

from __future__ import annotations

from typing import Any

import pytest
from azure.iot.device import Message, MethodRequest, MethodResponse

Json = dict[str, Any]

# The SDK asks Python for TLS 1.2 in a deprecated way, and paho leaves sockets to the garbage collector.
SDK_MARKS = [
    pytest.mark.system,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
# The SDK's own type hints stop at this one.
_new_message: Any = Message


def message(body: str | bytes, properties: dict[str, str] | None = None, **system: str) -> Any:
    """A message; ``system`` are attributes of the SDK's class."""
    made = _new_message(body)
    made.custom_properties = properties or {}
    for name, value in system.items():
        setattr(made, name, value)
    return made


def json_message(body: str, properties: dict[str, str] | None = None, **system: str) -> Any:
    """A message whose body says that it is JSON."""
    return message(body, properties, content_encoding="utf-8", content_type="application/json", **system)


def answer_methods(client: Any) -> None:
    """Have ``client`` answer every method with status 207 and what it got."""

    def on_method(request: MethodRequest) -> None:
        payload = {"name": request.name, "got": request.payload}
        client.send_method_response(MethodResponse.create_from_method_request(request, 207, payload))

    client.on_method_request_received = on_method


def desired_patches(client: Any) -> list[Json]:
    """A list that grows with each notification of ``client``."""
    patches: list[Json] = []
    client.on_twin_desired_properties_patch_received = patches.append
    return patches
