"""A base of the user's own under an image, from an OCI layout or an archive: its layers as they are."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skerry.errors import Damaged, NotFound, Unsupported
from skerry.oci.archive import archive_layout
from skerry.oci.digest import Digest
from skerry.oci.files import link_or_copy, whole_directory
from skerry.oci.image import OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, Descriptor, Layer
from skerry.oci.layer_stream import open_layer
from skerry.oci.layout import blob_path, read_blob
from skerry.oci.parts import parts_of
from skerry.oci.validate import GZIPPED, document, manifest_descriptors, member_path
from skerry.oci.validate import image as checked_image

# The wheels are for this Python and no other.
INTERPRETER = re.compile(r"(?:usr/local/|usr/|opt/[^/]+/)?bin/python3\.11")
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
# Indexes point at indexes in no image we know of; two levels are the specification's example.
DEPTH_MAX = 3


@dataclass(frozen=True, slots=True, eq=False)
class BaseImage:
    """A base for one architecture; ``python`` is its interpreter, ``env`` what its config sets."""

    name: str
    digest: Digest
    layers: tuple[Layer, ...]
    blobs: Path
    env: Mapping[str, str]
    python: str
    has_certificates: bool

    def blob(self, digest: Digest) -> Path:
        """Where the bytes of a layer lie."""
        return self.blobs / digest.hex


def open_base(source: Path, architecture: str, cache: Path, *, name: str = "", pinned: str = "") -> BaseImage:
    """The base in a layout's folder or in a tar that ``docker save`` or ``podman save`` wrote.

    Every layer is read and verified. With ``pinned`` its manifest must have that digest, Damaged otherwise
    (Docker's tar has none: it is the one that its files give). NotFound when it is for other platforms,
    Unsupported without Python 3.11.
    """
    layout = source if source.is_dir() else archive_layout(source, cache)
    manifest, digest = _manifest(layout, architecture)
    if pinned and Digest(pinned) != digest:
        raise Damaged(f"the base {source.name} is {digest}", hint=f"{pinned} was asked for", digest=digest)
    config, _ = manifest_descriptors(manifest)
    image = checked_image(manifest, read_blob(layout, config.digest))
    if image.architecture != architecture:
        raise NotFound(f"the base is for {image.architecture}, not for {architecture}", path=str(source))
    blobs = cache / "bases" / digest.hex
    with whole_directory(blobs) as work:
        for layer in image.layers:
            if not (work / layer.descriptor.digest.hex).exists():
                link_or_copy(blob_path(layout, layer.descriptor.digest), work / layer.descriptor.digest.hex)
    label = name or source.name
    layers = tuple(_ours(layer, label) for layer in image.layers)
    paths = _paths(layers, blobs)
    interpreters = sorted((path for path in paths if INTERPRETER.fullmatch(path)), key=len)
    if not interpreters:
        raise Unsupported(
            f"the base {label} has no Python 3.11", hint="for example python:3.11-slim", digest=digest
        )
    set_ = json.loads(image.config).get("config") or {}
    env = dict(str(item).partition("=")[::2] for item in set_.get("Env") or [])
    return BaseImage(label, digest, layers, blobs, env, f"/{interpreters[0]}", BUNDLE in paths)


def _ours(layer: Layer, label: str) -> Layer:
    """The layer under OCI's media type: an OCI manifest holds no other (image-spec, manifest.md)."""
    kind = OCI_LAYER_GZIP if layer.descriptor.media_type in GZIPPED else OCI_LAYER
    found = layer.descriptor
    return Layer(Descriptor(kind, found.digest, found.size), layer.diff_id, f"base: {label}")


def _paths(layers: tuple[Layer, ...], blobs: Path) -> set[str]:
    """Every path in the layers, each of which is read to its end and verified."""
    found: set[str] = set()
    for layer in layers:
        try:
            with (
                open_layer(blobs / layer.descriptor.digest.hex, layer) as stream,
                tarfile.open(fileobj=stream, mode="r|") as tar,
            ):
                found.update("/".join(member_path(member.name)) for member in tar)
        except tarfile.TarError as exc:
            raise Damaged("a layer of the base is no tar", digest=layer.descriptor.digest) from exc
    return found


def _manifest(layout: Path, architecture: str) -> tuple[bytes, Digest]:
    """The manifest for ``architecture`` below the layout's index."""
    try:
        data, digest = (layout / "index.json").read_bytes(), Digest("sha256:" + "0" * 64)
    except FileNotFoundError as exc:
        raise NotFound(f"no image layout at {layout}", path=str(layout)) from exc
    for _ in range(DEPTH_MAX):
        parts = parts_of(data, None if "mediaType" in document(data, "index") else OCI_INDEX)
        if not parts.children:
            return data, digest
        fitting = [
            c for c in parts.children if c.architecture in ("", architecture) and c.os in ("", "linux")
        ]
        if not fitting:
            platforms = ", ".join(f"{c.os}/{c.architecture}" for c in parts.children)
            raise NotFound(f"the base has no image for linux/{architecture}", hint=f"it has {platforms}")
        digest = fitting[0].descriptor.digest
        data = read_blob(layout, digest)
    raise Damaged("the base's index is too deep", path=str(layout))
