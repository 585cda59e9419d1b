"""File upload as devices ask for it and services hear of it (contract.md §2.9)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from skerry.contract.names import DeviceId
from skerry.errors import InvalidInput

# The container all uploads of a hub are in: the first part of a blob's path.
CONTAINER = "uploads"
# Azure's bounds on a blob's name.
BLOB_NAME_CHARS_MAX = 1024
BLOB_NAME_PARTS_MAX = 254
# What Azure's tokens of the same kind say: service version, resource (one blob), rights.
_QUERY = "sv=2021-12-02&sr=b&sp=rw"
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\\]")


@dataclass(frozen=True, slots=True)
class BlobName:
    """``{device}/{name}``: a device writes below its own id only."""

    device: DeviceId
    name: str

    def __post_init__(self) -> None:
        parts = self.name.split("/")
        legal = 0 < len(self.name) <= BLOB_NAME_CHARS_MAX and len(parts) <= BLOB_NAME_PARTS_MAX
        # Clients fold such parts away before they send a path.
        if not legal or {"", ".", ".."} & set(parts) or _CONTROL.search(self.name):
            raise InvalidInput(
                f"the blob name {self.name[:80]!r} is not legal",
                hint=f"1 to {BLOB_NAME_CHARS_MAX} characters, no empty part, no . or .., no control",
                field="blobName",
            )

    def __str__(self) -> str:
        return f"{self.device}/{self.name}"

    @property
    def path(self) -> str:
        """Its path in a URL."""
        return f"/{CONTAINER}/{quote(str(self), safe='/')}"

    @classmethod
    def parse(cls, text: str) -> BlobName:
        """The name in ``{device}/{name}``; raises InvalidInput."""
        device, _, name = text.partition("/")
        return cls(DeviceId(device), name)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a device says became of its upload."""

    correlation: str
    success: bool
    description: str = ""


def parse_request(document: dict[str, Any], device: DeviceId) -> BlobName:
    """The blob a device wants to write; raises InvalidInput."""
    name = document.get("blobName")
    if not isinstance(name, str):
        raise InvalidInput("there is no blobName", hint='send {"blobName": "…"}', field="blobName")
    return BlobName(device, name)


def parse_outcome(document: dict[str, Any], correlation: str | None = None) -> Outcome:
    """The notification of a device; older clients put the correlation id into the path. InvalidInput."""
    given = document.get("correlationId", correlation) if correlation is None else correlation
    if not isinstance(given, str) or not given:
        raise InvalidInput("there is no correlationId", field="correlationId")
    success = document.get("isSuccess")
    if not isinstance(success, bool):
        raise InvalidInput("isSuccess is true or false", field="isSuccess")
    return Outcome(given, success, str(document.get("statusDescription") or "")[:512])


def credentials(blob: BlobName, correlation: str, host: str, expires: str, signature: str) -> dict[str, str]:
    """Where and by which right to upload; the token is a secret until it has ended."""
    token = f"?{_QUERY}&se={quote(expires, safe='')}&sig={quote(signature, safe='')}"
    return {
        "correlationId": correlation,
        "hostName": host,
        "containerName": CONTAINER,
        "blobName": str(blob),
        "sasToken": token,
    }


def notice(blob: BlobName, host: str, modified: str, size: int, now: str) -> dict[str, Any]:
    """What a service is told of a finished upload."""
    return {
        "deviceId": str(blob.device),
        "blobUri": f"https://{host}{blob.path}",
        "blobName": str(blob),
        "lastUpdatedTime": modified,
        "blobSizeInBytes": size,
        "enqueuedTimeUtc": now,
    }
