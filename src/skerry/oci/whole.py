"""Whether every file of an OCI layout is what its name says."""

from __future__ import annotations

import hashlib
from pathlib import Path

from skerry.errors import Damaged
from skerry.oci.image import Descriptor
from skerry.oci.layout import blob_path, manifest_descriptor, read_blob
from skerry.oci.parts import parts_of


def check_whole(layout: Path) -> int:
    """Read every blob that the layout's manifests name; how many bytes that were.

    Damaged names the first file that is missing or is not what it has to be.
    """
    return _check_document(layout, manifest_descriptor(layout))


def _check_document(layout: Path, document: Descriptor) -> int:
    _check(layout, document)
    parts = parts_of(read_blob(layout, document.digest), document.media_type)
    size = document.size
    for child in parts.children:
        size += _check_document(layout, child.descriptor)
    for blob in dict.fromkeys(parts.blobs):
        _check(layout, blob)
        size += blob.size
    return size


def _check(layout: Path, blob: Descriptor) -> None:
    path = blob_path(layout, blob.digest)
    name = path.relative_to(layout).as_posix()
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as exc:
        raise Damaged(f"{name} is missing", hint="push or build the image again", path=name) from exc
    if found != blob.digest.hex or path.stat().st_size != blob.size:
        raise Damaged(
            f"{name} is not what its name says",
            hint="somebody changed it, or the disk is failing",
            path=name,
            digest=blob.digest,
        )
