"""Checks on documents and names from outside: nothing half valid gets past, ``Damaged`` says where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from skerry.errors import Damaged, InvalidInput
from skerry.oci.digest import Digest, digest_of
from skerry.oci.image import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Image,
    Layer,
)

# The same documents under the names Docker gave them first (distribution, manifest v2 schema 2).
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
CONFIGS = (OCI_CONFIG, DOCKER_CONFIG)
GZIPPED = (OCI_LAYER_GZIP, DOCKER_LAYER_GZIP)
PLAIN = (OCI_LAYER, DOCKER_LAYER)
# Registries bound manifests at 4 MiB (distribution-spec, "Pushing Manifests").
DOCUMENT_BYTES_MAX = 4 << 20


def document(data: bytes, what: str) -> Mapping[str, Any]:
    """``data`` as a JSON object."""
    if len(data) > DOCUMENT_BYTES_MAX:
        raise Damaged(f"the {what} is over {DOCUMENT_BYTES_MAX} bytes", size=len(data))
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise Damaged(f"the {what} is not JSON, or is nested too deeply") from exc
    if not isinstance(parsed, dict):
        raise Damaged(f"the {what} is not a JSON object")
    return parsed


def descriptor(value: object, what: str, media_types: tuple[str, ...]) -> Descriptor:
    """A descriptor out of a document, of one of ``media_types``."""
    if not isinstance(value, dict):
        raise Damaged(f"the {what} is not a descriptor")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if media_type not in media_types:
        raise Damaged(
            f"the {what} is {media_type!r}", hint=f"supported: {', '.join(media_types)}", value=media_type
        )
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise Damaged(f"the {what} has no size")
    return Descriptor(media_type, _digest(digest, what), size)


def manifest_descriptors(data: bytes) -> tuple[Descriptor, tuple[Descriptor, ...]]:
    """(config, layers from the lowest up) of an image manifest."""
    found = document(data, "manifest")
    layers = found.get("layers")
    if found.get("schemaVersion") != 2 or not isinstance(layers, list):
        raise Damaged("the manifest is not an image manifest", hint="schemaVersion 2 with a list of layers")
    config = descriptor(found.get("config"), "config in the manifest", CONFIGS)
    return config, tuple(descriptor(layer, "layer in the manifest", GZIPPED + PLAIN) for layer in layers)


def image(manifest: bytes, config: bytes) -> Image:
    """An image from its two documents, which must belong together."""
    pointed, layers = manifest_descriptors(manifest)
    if pointed.digest != digest_of(config):
        raise Damaged("the config is not the one the manifest names", digest=pointed.digest)
    found = document(config, "image config")
    rootfs = found.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or len(diff_ids) != len(layers):
        raise Damaged("the image config does not name one diff id for each layer")
    architecture = found.get("architecture")
    if not isinstance(architecture, str) or found.get("os") != "linux":
        raise Damaged("the image config names no Linux platform")
    return Image(
        manifest,
        config,
        tuple(
            Layer(blob, _digest(diff, "diff id"), label)
            for blob, diff, label in zip(layers, diff_ids, _labels(found, len(layers)), strict=True)
        ),
        architecture,
    )


def member_path(name: str) -> tuple[str, ...]:
    """The components of a tar member's name; ``()`` is the root. ``Damaged`` when it leaves the root.

    A leading ``/`` is dropped as Docker does; ``..`` is never legal in a layer.
    """
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts or "\0" in name:
        raise Damaged(f"the layer holds the path {name!r}", hint="it would be written outside", path=name)
    return parts


def _labels(config: Mapping[str, Any], count: int) -> list[str]:
    history = config.get("history")
    steps = [step for step in history if isinstance(step, dict)] if isinstance(history, list) else []
    told = [str(step.get("created_by", "")) for step in steps if not step.get("empty_layer")]
    return told if len(told) == count else [""] * count


def _digest(value: object, what: str) -> Digest:
    try:
        return Digest(str(value))
    except InvalidInput as exc:
        raise Damaged(f"the {what} has no sha256 digest", value=value) from exc
