"""What any manifest or index points at, whatever kind of thing it describes (image-spec 1.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skerry.errors import Damaged, InvalidInput
from skerry.oci.digest import Digest
from skerry.oci.image import OCI_INDEX, OCI_MANIFEST, Descriptor
from skerry.oci.validate import DOCKER_MANIFEST, document

DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEXES = (OCI_INDEX, DOCKER_INDEX)
DOCUMENTS = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX)
# More layers than any engine unpacks (Docker's bound is 127), more platforms than there are.
PARTS_MAX = 1000
# RFC 6838 §4.2, and what people write in its place.
MEDIA_TYPE = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Child:
    """A manifest in an index; ``architecture`` and ``variant`` are empty where the index says nothing."""

    descriptor: Descriptor
    os: str = ""
    architecture: str = ""
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Parts:
    """A manifest's media type, its blobs (config first), or an index's children; what it is attached to."""

    media_type: str
    blobs: tuple[Descriptor, ...] = ()
    children: tuple[Child, ...] = ()
    subject: Digest | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


def parts_of(data: bytes, media_type: str | None = None) -> Parts:
    """The parts of a document of ``media_type``, which it may also name itself. Raises Damaged.

    Layers that nobody may distribute (Windows bases) are left out: they are fetched from elsewhere.
    """
    found = document(data, "manifest")
    kind = found.get("mediaType", media_type)
    if kind not in DOCUMENTS or (media_type is not None and kind != media_type):
        raise Damaged(
            f"a manifest of type {kind!r}", hint=f"supported: {', '.join(DOCUMENTS)}", media_type=media_type
        )
    if found.get("schemaVersion") != 2:
        raise Damaged("the manifest has no schemaVersion 2")
    subject = _pointer(found["subject"], "subject").digest if found.get("subject") is not None else None
    annotations = _annotations(found)
    artifact_type = found.get("artifactType") or ""
    if not isinstance(artifact_type, str) or (artifact_type and not MEDIA_TYPE.fullmatch(artifact_type)):
        raise Damaged("the artifactType is no media type")
    if kind in INDEXES:
        children = tuple(_child(item) for item in _list(found, "manifests"))
        return Parts(kind, (), children, subject, artifact_type, annotations)
    config = _pointer(found.get("config"), "config")
    layers = [_pointer(item, "layer") for item in _list(found, "layers")]
    blobs = (config, *(layer for layer in layers if not _elsewhere(layer.media_type)))
    return Parts(kind, blobs, (), subject, artifact_type or config.media_type, annotations)


def _annotations(found: Mapping[str, Any]) -> dict[str, str]:
    annotations = found.get("annotations")
    if not isinstance(annotations, dict):
        return {}
    return {name: value for name, value in annotations.items() if isinstance(value, str)}


def _list(found: Mapping[str, Any], name: str) -> list[Any]:
    items = found.get(name)
    if not isinstance(items, list) or len(items) > PARTS_MAX:
        raise Damaged(f"the manifest has no list of at most {PARTS_MAX} {name}")
    return items


def _child(item: Any) -> Child:
    platform = item.get("platform") if isinstance(item, dict) else None
    about = platform if isinstance(platform, dict) else {}
    words = (str(about.get(name) or "") for name in ("os", "architecture", "variant"))
    return Child(_pointer(item, "manifest in the index"), *words)


def _pointer(value: Any, what: str) -> Descriptor:
    if not isinstance(value, dict):
        raise Damaged(f"the {what} is not a descriptor")
    media_type, size = value.get("mediaType"), value.get("size")
    if not isinstance(media_type, str) or not MEDIA_TYPE.fullmatch(media_type):
        raise Damaged(f"the {what} has no media type")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise Damaged(f"the {what} has no size")
    try:
        return Descriptor(media_type, Digest(str(value.get("digest"))), size)
    except InvalidInput as exc:
        raise Damaged(f"the {what} has no sha256 digest") from exc


def _elsewhere(media_type: str) -> bool:
    return "nondistributable" in media_type or media_type.endswith("foreign.diff.tar.gzip")
