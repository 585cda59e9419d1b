"""Devices as lines of JSON, as Azure exports and imports a registry (contract.md §4.2, §4.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from skerry.contract.member import Member
from skerry.contract.resources import DeviceRecord, ModuleRecord
from skerry.contract.twin import Twin, service_view_properties

Json = dict[str, Any]
TYPES = ("export", "import")
BLOB_NAME = "devices.txt"
ERRORS_NAME = "importErrors.log"
URI_CHARS_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Transfer:
    """An export or import as it was asked for; the URIs are of blob containers, with their tokens."""

    type: str
    source: str | None
    target: str | None
    source_name: str = BLOB_NAME
    target_name: str = BLOB_NAME
    without_keys: bool = False


def parse_transfer(document: Any) -> Transfer:
    """Raises InvalidInput with ``path``."""
    root = Member("", document)
    kind = root["type"].one_of(TYPES)
    source, target = root["inputBlobContainerUri"], root["outputBlobContainerUri"]
    return Transfer(
        kind,
        _uri(source) if kind == "import" or source.given else None,
        _uri(target) if kind == "export" or target.given else None,
        _name(root["inputBlobName"]),
        _name(root["outputBlobName"]),
        root["excludeKeysInExport"].value is True,
    )


def blob_uri(container: str, name: str) -> str:
    """A blob in a container whose URI may end with a token."""
    path, question, token = container.partition("?")
    return f"{path.rstrip('/')}/{name}{question}{token}"


def exported(record: DeviceRecord | ModuleRecord, twin: Twin, *, with_keys: bool) -> Json:
    """One line: an ExportImportDevice that makes the same device or module where it is imported."""
    keys = record.keys if with_keys else None
    symmetric = {
        "primaryKey": keys.primary if keys else None,
        "secondaryKey": keys.secondary if keys else None,
    }
    thumbprints = {
        "primaryThumbprint": record.thumbprints.primary or None,
        "secondaryThumbprint": record.thumbprints.secondary or None,
    }
    line: Json = {
        "id": str(record.device_id),
        "eTag": record.etag,
        "importMode": "createOrUpdate",
        "authentication": {
            "symmetricKey": symmetric,
            "x509Thumbprint": thumbprints,
            "type": record.auth_type,
        },
        "twinETag": twin.etag,
        "properties": service_view_properties(twin),
    }
    if isinstance(record, ModuleRecord):
        return {**line, "moduleId": str(record.module_id), "managedBy": record.managed_by}
    line |= {
        "status": record.status,
        "statusReason": record.status_reason,
        "tags": twin.tags,
        "capabilities": {"iotEdge": record.iot_edge},
    }
    # An edge device's scope is its own wherever it is made: it names the generation.
    return line if record.iot_edge else {**line, "deviceScope": record.device_scope}


def _uri(member: Member) -> str:
    text = member.text()
    try:
        parts = urlsplit(text)
        legal = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        legal = False
    if not legal or len(text) > URI_CHARS_MAX or not text.isascii() or " " in text:
        # Its token must not be shown.
        Member(member.path, None).refuse("the URI of a blob container, with its token")
    return text


def _name(member: Member) -> str:
    if not member.given:
        return BLOB_NAME
    text = member.text()
    if "/" in text or not text.isascii() or not text.isprintable() or "?" in text:
        member.refuse("a plain blob name")
    return text
