"""A tar that a container engine saved an image into, as an OCI layout."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from skerry.errors import InvalidInput, NotFound
from skerry.oci.digest import Digest, digest_of
from skerry.oci.files import whole_directory
from skerry.oci.image import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    canonical_json,
)
from skerry.oci.layer import CHUNK_BYTES


def archive_layout(archive: Path, cache: Path) -> Path:
    """The archive of ``docker save`` or ``podman save`` as a layout in the cache, where it is by its digest.

    NotFound when there is no such file, InvalidInput when it is no archive of one image.
    """
    try:
        with archive.open("rb") as file:
            name = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as exc:
        raise NotFound(f"no base at {archive}", path=str(archive)) from exc
    layout = cache / "archives" / name
    if (layout / "index.json").is_file():
        return layout
    with tempfile.TemporaryDirectory(prefix="skerry-base-") as scratch:
        folder = Path(scratch)
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
        except (tarfile.TarError, EOFError) as exc:
            raise InvalidInput(
                f"{archive.name} is neither a layout nor an archive of an image",
                hint="docker save IMAGE, podman save --format oci-archive IMAGE",
                path=str(archive),
            ) from exc
        with whole_directory(layout) as work:
            if (folder / "index.json").is_file():
                shutil.copytree(folder, work, dirs_exist_ok=True)
            else:
                _from_docker(folder, work)
    return layout


def _from_docker(folder: Path, layout: Path) -> None:
    """Docker's archive (moby image spec v1.2, "Combined Image JSON + Filesystem Changeset Format")."""
    try:
        listing: Any = json.loads((folder / "manifest.json").read_bytes())
        [only] = listing
        config = (folder / only["Config"]).read_bytes()
        tars = [folder / path for path in only["Layers"]]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InvalidInput("the archive does not hold exactly one image", hint="docker save IMAGE") from exc
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layers = []
    for tar in tars:
        with tar.open("rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
        digest, size = _copied(tar, blobs)
        layers.append(Descriptor(OCI_LAYER_GZIP if gzipped else OCI_LAYER, digest, size).to_json())
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": Descriptor(OCI_CONFIG, digest_of(config), len(config)).to_json(),
            "layers": layers,
        }
    )
    for data in (manifest, config):
        (blobs / digest_of(data).hex).write_bytes(data)
    entry = Descriptor(OCI_MANIFEST, digest_of(manifest), len(manifest)).to_json()
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
    (layout / "index.json").write_bytes(canonical_json(index))


def _copied(source: Path, blobs: Path) -> tuple[Digest, int]:
    sha256, size = hashlib.sha256(), 0
    target = blobs / "layer.new"
    with source.open("rb") as given, target.open("wb") as kept:
        while chunk := given.read(CHUNK_BYTES):
            sha256.update(chunk)
            size += len(chunk)
            kept.write(chunk)
    target.rename(blobs / sha256.hexdigest())
    return Digest("sha256:" + sha256.hexdigest()), size
