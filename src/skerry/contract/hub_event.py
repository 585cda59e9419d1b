"""What a hub tells the readers of its events about identities themselves (contract.md §4.8)."""

from __future__ import annotations

import enum
from typing import Any

from skerry.contract.json_text import compact
from skerry.contract.message import Message
from skerry.contract.names import Identity
from skerry.contract.twin import Document, Twin, service_view_properties

MESSAGE_SOURCE = "iothub-message-source"
TELEMETRY = "Telemetry"


class Source(enum.Enum):
    """The kinds of such events; the values are what ``iothub-message-source`` says."""

    TWIN = "twinChangeEvents"
    LIFECYCLE = "deviceLifecycleEvents"
    CONNECTION = "deviceConnectionStateEvents"


def twin_updated(twin: Twin, patch: Document) -> Document:
    """The body for a merge: ``patch`` has any of tags, desired and reported, nulls included."""
    said: Document = {"version": twin.version}
    if "tags" in patch:
        said["tags"] = patch["tags"]
    sections = {"desired": twin.desired, "reported": twin.reported}
    changed = {
        name: {**patch[name], "$version": section.version}
        for name, section in sections.items()
        if name in patch
    }
    return {**said, "properties": changed} if changed else said


def twin_replaced(twin: Twin) -> Document:
    """The body for a replacement: all that a service may replace."""
    desired = {**twin.desired.values, "$version": twin.desired.version}
    return {"version": twin.version, "tags": twin.tags, "properties": {"desired": desired}}


def lifecycle(identity: Identity, etag: str, twin: Twin) -> Document:
    """The body for a creation or deletion: the twin at that moment."""
    return {
        **_ids(identity),
        "etag": etag,
        "version": twin.version,
        "tags": twin.tags,
        "properties": service_view_properties(twin),
    }


def connection_changed(sequence: int) -> Document:
    """The body for a connection that began or ended; a larger number is the later one."""
    return {"sequenceNumber": f"{sequence:060X}"}


def hub_event(
    source: Source, operation: str, identity: Identity, body: Document, hub_name: str, now: str
) -> Message:
    """The event as a message; ``operation`` is its ``opType``."""
    kind = "module" if identity.module is not None else "device"
    schema = {
        Source.TWIN: "twinChangeNotification",
        Source.LIFECYCLE: f"{kind}LifecycleNotification",
        Source.CONNECTION: f"{kind}ConnectionStateNotification",
    }[source]
    properties: dict[str, str | None] = {
        "hubName": hub_name,
        **_ids(identity),
        "opType": operation,
        "operationTimestamp": now,
        "iothub-message-schema": schema,
    }
    system = {
        "contentType": "application/json",
        "contentEncoding": "utf-8",
        "connectionDeviceId": str(identity.device),
        **({} if identity.module is None else {"connectionModuleId": str(identity.module)}),
        MESSAGE_SOURCE: source.value,
    }
    return Message(compact(body).encode("utf-8", "replace"), properties, system)


def _ids(identity: Identity) -> dict[str, Any]:
    module = {} if identity.module is None else {"moduleId": str(identity.module)}
    return {"deviceId": str(identity.device), **module}
