"""What is in a package, wherever it lies: a folder, an OCI artifact, or a module's image."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from skerry.errors import Damaged, NotFound
from skerry.model.artifact import is_artifact, read_artifact
from skerry.model.image import MODEL_DIRECTORY
from skerry.oci.layer_stream import open_layer
from skerry.oci.layout import blob_path, read_layout
from skerry.package.manifest import MANIFEST, Package
from skerry.package.signature import SIGNATURE, key_id, parse_signatures


@contextmanager
def opened(place: Path, trusted_keys: Sequence[bytes] | None = None) -> Iterator[Package]:
    """The package at ``place``: its folder, or the OCI layout of an artifact or of an image that serves it.

    Raises as ``Package.open`` does; NotFound when there is none.
    """
    if not (place / "index.json").is_file():
        yield Package.open(place, trusted_keys=trusted_keys)
        return
    with tempfile.TemporaryDirectory(prefix="skerry-package-") as scratch:
        folder = Path(scratch, "package")
        if is_artifact(place):
            read_artifact(place, folder)
        else:
            _from_image(place, folder)
        yield Package.open(folder, trusted_keys=trusted_keys)


def _from_image(layout: Path, folder: Path) -> None:
    """The model directory out of the image's layers, the topmost that has one."""
    for layer in reversed(read_layout(layout).layers):
        with open_layer(blob_path(layout, layer.descriptor.digest), layer) as stream:
            found = _take(stream, folder)
        if found:
            return
    raise NotFound(f"the image in {layout} serves no model", path=str(layout))


def _take(stream: IO[bytes], folder: Path) -> bool:
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if member.isfile() and path.is_relative_to(MODEL_DIRECTORY):
                    member.name = path.relative_to(MODEL_DIRECTORY).as_posix()
                    tar.extract(member, folder, filter="data")
    except tarfile.TarError as exc:
        raise Damaged(f"a layer of the image cannot be read: {exc}") from exc
    return (folder / MANIFEST).is_file()


def strangers(package: Package) -> list[str]:
    """Files in the package's folder that its manifest does not vouch for."""
    files = package.manifest["files"]
    known = {*(files if isinstance(files, Mapping) else ()), MANIFEST, SIGNATURE}
    found = (path.relative_to(package.directory).as_posix() for path in _files(package.directory))
    return sorted(path for path in found if path not in known)


def signers(package: Package) -> list[str]:
    """The ids of the keys whose signatures lie beside the manifest; nothing is said about their truth."""
    path = package.directory / SIGNATURE
    return [key_id(key) for key, _ in parse_signatures(path.read_bytes())] if path.is_file() else []


def summary(package: Package) -> dict[str, object]:
    """The package for people and scripts."""
    recipe = package.recipe
    files = package.manifest["files"]
    sizes = {path: entry["size"] for path, entry in (files.items() if isinstance(files, Mapping) else ())}
    return {
        "name": package.name,
        "digest": package.digest,
        "signedBy": signers(package),
        "source": package.manifest.get("source"),
        "chosen": package.chosen.name,
        "candidates": [
            {**candidate.to_json(), "bytes": sizes.get(candidate.file)} for candidate in package.candidates
        ],
        "recipe": recipe.to_json(labels=False),
        "labels": len(recipe.output.labels),
        "golden": len(package.golden),
        "certificate": dict(package.certificate),
        "files": len(sizes),
        "bytes": sum(size for size in sizes.values() if isinstance(size, int)),
    }


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())
