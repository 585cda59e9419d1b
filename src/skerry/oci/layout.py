"""An image in a directory: the OCI image layout (image-spec 1.1, image-layout.md)."""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from skerry.errors import Damaged, NotFound
from skerry.oci.digest import Digest, digest_of
from skerry.oci.files import link_or_copy, whole_directory, whole_file
from skerry.oci.image import REF_NAME, Descriptor, Image, Layer, canonical_json, index
from skerry.oci.layer import CHUNK_BYTES
from skerry.oci.layer_stream import open_layer
from skerry.oci.parts import DOCUMENTS
from skerry.oci.reference import Reference, parse_reference
from skerry.oci.validate import MANIFESTS, descriptor, document, manifest_descriptors
from skerry.oci.validate import image as checked_image

DEFAULT_TAG = "latest"


def layout_path(images: Path, reference: Reference) -> Path:
    """Where the layout of ``reference`` lies below ``images``: ``<name>/<tag>``."""
    return images / reference.name / (reference.tag or DEFAULT_TAG)


def find_layout(images: Path, image: str) -> Path | None:
    """The layout directory of ``image`` (``name[:tag][@digest]``) below ``images``, or None.

    With a digest, only a layout whose manifest has it counts. ``InvalidInput`` for a malformed reference.
    """
    reference = parse_reference(image)
    path = layout_path(images, reference)
    if not (path / "index.json").is_file():
        return None
    if reference.digest is not None and read_layout(path).manifest_digest != reference.digest:
        return None
    return path


def write_layout(directory: Path, image: Image, reference: str, blob: Callable[[Digest], Path]) -> None:
    """Put ``image`` at ``directory``, whole or not at all; ``blob`` says where each layer's bytes lie."""
    with whole_directory(directory) as work:
        blobs = work / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        for layer in image.layers:
            target = blobs / layer.descriptor.digest.hex
            if not target.exists():
                link_or_copy(blob(layer.descriptor.digest), target)
        for data in (image.manifest, image.config):
            (blobs / digest_of(data).hex).write_bytes(data)
        (work / "oci-layout").write_bytes(canonical_json({"imageLayoutVersion": "1.0.0"}))
        (work / "index.json").write_bytes(index(image, reference))


def read_layout(directory: Path) -> Image:
    """The one image in the layout, its documents verified by digest; layers are verified where they are read.

    ``NotFound`` when there is no layout, ``Damaged`` when it does not read back.
    """
    manifest = read_blob(directory, _manifest_digest(directory))
    config, _ = manifest_descriptors(manifest)
    return checked_image(manifest, read_blob(directory, config.digest))


def image_config_digest(directory: Path) -> Digest:
    """The digest of the config of the layout's image: what Docker calls the image id."""
    return read_layout(directory).config_digest


def blob_path(directory: Path, digest: Digest) -> Path:
    """Where a layout keeps a blob; it need not be there."""
    return directory / "blobs" / "sha256" / digest.hex


def read_blob(directory: Path, digest: Digest) -> bytes:
    """A small blob, verified."""
    try:
        data = blob_path(directory, digest).read_bytes()
    except FileNotFoundError as exc:
        raise Damaged("a blob is missing from the image layout", digest=digest, path=str(directory)) from exc
    if digest_of(data) != digest:
        raise Damaged("a blob of the image layout is damaged", digest=digest, path=str(directory))
    return data


def manifest_descriptor(directory: Path) -> Descriptor:
    """What the layout's index points at: an image's manifest, an artifact's, or an index of several."""
    return descriptor(_manifest_entry(directory), "manifest in index.json", DOCUMENTS)


def _manifest_digest(directory: Path) -> Digest:
    return descriptor(_manifest_entry(directory), "manifest in index.json", MANIFESTS).digest


def _manifest_entry(directory: Path) -> Mapping[str, Any]:
    try:
        found = document((directory / "index.json").read_bytes(), "index.json")
    except FileNotFoundError as exc:
        raise NotFound(f"no image layout at {directory}", path=str(directory)) from exc
    manifests = found.get("manifests")
    if not isinstance(manifests, list) or len(manifests) != 1 or not isinstance(manifests[0], dict):
        raise Damaged("the image layout does not hold exactly one image", path=str(directory))
    return manifests[0]


def to_docker_archive(layout: Path, archive: Path, image: str | None = None) -> None:
    """The tar that ``docker load`` of any version takes: config, plain layers, ``manifest.json``.

    ``image`` is the tag to load it as; without it, the name in the layout's index. Layers are verified on
    the way (``Damaged``).
    """
    found = read_layout(layout)
    tag = image or reference_name(layout)
    with whole_file(archive) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        names = []
        for layer in found.layers:
            name = f"{layer.diff_id.hex}/layer.tar"
            if name not in names:
                _add_layer(tar, name, layout, layer)
            names.append(name)
        config = f"{found.config_digest.hex}.json"
        _add(tar, config, found.config)
        listing = [{"Config": config, "RepoTags": [tag] if tag else [], "Layers": names}]
        _add(tar, "manifest.json", canonical_json(listing))


def reference_name(layout: Path) -> str | None:
    """What the layout's index calls its image (``org.opencontainers.image.ref.name``)."""
    annotations = _manifest_entry(layout).get("annotations")
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else None


def _add_layer(tar: tarfile.TarFile, name: str, layout: Path, layer: Layer) -> None:
    with tempfile.TemporaryFile() as plain:
        with open_layer(blob_path(layout, layer.descriptor.digest), layer) as source:
            shutil.copyfileobj(source, plain, CHUNK_BYTES)
        info = tarfile.TarInfo(name)
        info.size = plain.tell()
        plain.seek(0)
        tar.addfile(info, plain)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
