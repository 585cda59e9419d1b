"""A package as an OCI artifact, so that any registry stores and any OCI client moves it (docs/package.md).

The manifest of the package is the artifact's config; each model file is a layer of its own, the small files
are one tar, the signature is one more: a new model moves its own bytes only. Nothing is compressed: weights
do not shrink, and equal packages stay equal whatever zlib is installed.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skerry.errors import AlreadyExists, Damaged, InvalidInput, NotFound
from skerry.oci.digest import Digest, digest_of
from skerry.oci.files import whole_directory
from skerry.oci.image import OCI_INDEX, OCI_MANIFEST, REF_NAME, Descriptor, canonical_json
from skerry.oci.layer import File, write_tar
from skerry.oci.layout import read_blob
from skerry.oci.reference import parse_reference
from skerry.oci.validate import descriptor, document
from skerry.package.manifest import MANIFEST, Package
from skerry.package.signature import SIGNATURE

ARTIFACT_TYPE = "application/vnd.skerry.package.v1"
CONFIG_TYPE = "application/vnd.skerry.package.manifest.v1+json"
FILES_TYPE = "application/vnd.skerry.package.files.v1.tar"
SIGNATURE_TYPE = "application/vnd.skerry.package.signature.v1+json"
MODEL_TYPES = {
    ".onnx": "application/vnd.skerry.model.v1.onnx",
    ".tflite": "application/vnd.skerry.model.v1.tflite",
}
MODEL_TYPE = "application/vnd.skerry.model.v1"
TITLE = "org.opencontainers.image.title"
FILES_NAME = "files.tar"


def write_artifact(package: Path, layout: Path, reference: str) -> Digest:
    """The package in ``package`` as an OCI layout at ``layout``; the digest of the artifact's manifest.

    Equal packages give equal digests. Raises as ``Package.open`` does for a package that is not whole.
    """
    opened = Package.open(package)
    parse_reference(reference)
    if layout.exists() and not (layout / "oci-layout").is_file():
        raise AlreadyExists(f"{layout} exists and is no OCI layout", path=str(layout))
    models = sorted({candidate.file for candidate in opened.candidates})
    small = sorted(set(_listed(opened.manifest)) - set(models))
    parts = [(_model_type(name), name, (package / name).read_bytes()) for name in models]
    parts.append((FILES_TYPE, FILES_NAME, _tar(package, small)))
    if (package / SIGNATURE).is_file():
        parts.append((SIGNATURE_TYPE, SIGNATURE, (package / SIGNATURE).read_bytes()))
    config = (package / MANIFEST).read_bytes()
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": ARTIFACT_TYPE,
            "config": Descriptor(CONFIG_TYPE, digest_of(config), len(config)).to_json(),
            "layers": [_described(kind, name, data) for kind, name, data in parts],
            "annotations": {TITLE: opened.name, "io.skerry.model.digest": opened.digest},
        }
    )
    digest = digest_of(manifest)
    entry = {
        **Descriptor(OCI_MANIFEST, digest, len(manifest)).to_json(),
        "artifactType": ARTIFACT_TYPE,
        "annotations": {REF_NAME: reference},
    }
    with whole_directory(layout) as work:
        blobs = work / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        for data in (config, manifest, *(data for _, _, data in parts)):
            (blobs / digest_of(data).hex).write_bytes(data)
        (work / "oci-layout").write_bytes(canonical_json({"imageLayoutVersion": "1.0.0"}))
        (work / "index.json").write_bytes(
            canonical_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]})
        )
    return digest


def read_artifact(layout: Path, directory: Path) -> Package:
    """The package out of the artifact in ``layout``, written to ``directory`` and verified.

    NotFound without a layout, InvalidInput when it holds something else, Damaged when a blob is not what the
    artifact names.
    """
    manifest = _artifact_manifest(layout)
    with whole_directory(directory) as work:
        config = descriptor(manifest.get("config"), "config", (CONFIG_TYPE,))
        (work / MANIFEST).write_bytes(read_blob(layout, config.digest))
        layers = manifest.get("layers")
        if not isinstance(layers, list):
            raise Damaged("the artifact has no list of layers", path=str(layout))
        known = (*MODEL_TYPES.values(), MODEL_TYPE, FILES_TYPE, SIGNATURE_TYPE)
        for layer in layers:
            found = descriptor(layer, "layer", known)
            data = read_blob(layout, found.digest)
            if found.media_type == FILES_TYPE:
                _unpack(data, work)
            else:
                (work / _plain_name(layer)).write_bytes(data)
        Package.open(work)
    return Package.open(directory)


def is_artifact(layout: Path) -> bool:
    """Whether ``layout`` is an OCI layout that holds a package."""
    try:
        return _artifact_manifest(layout).get("artifactType") == ARTIFACT_TYPE
    except (NotFound, Damaged, InvalidInput):
        return False


def _artifact_manifest(layout: Path) -> Mapping[str, Any]:
    try:
        index = document((layout / "index.json").read_bytes(), "index.json")
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise NotFound(f"no OCI layout at {layout}", path=str(layout)) from exc
    entries = index.get("manifests")
    if not isinstance(entries, list) or len(entries) != 1:
        raise Damaged("the OCI layout does not hold exactly one artifact", path=str(layout))
    found = descriptor(entries[0], "manifest in index.json", (OCI_MANIFEST,))
    manifest = document(read_blob(layout, found.digest), "artifact manifest")
    if manifest.get("artifactType") != ARTIFACT_TYPE:
        raise InvalidInput(f"{layout} holds no model package", path=str(layout))
    return manifest


def _described(kind: str, name: str, data: bytes) -> dict[str, Any]:
    return {**Descriptor(kind, digest_of(data), len(data)).to_json(), "annotations": {TITLE: name}}


def _model_type(name: str) -> str:
    return MODEL_TYPES.get(Path(name).suffix, MODEL_TYPE)


def _listed(manifest: Mapping[str, object]) -> list[str]:
    order = manifest["order"]
    return [str(path) for path in order] if isinstance(order, list) else []


def _tar(package: Path, names: list[str]) -> bytes:
    buffer = io.BytesIO()
    write_tar([File(name, (package / name).read_bytes()) for name in names], buffer)
    return buffer.getvalue()


def _unpack(data: bytes, directory: Path) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            tar.extractall(directory, filter="data")
    except tarfile.TarError as exc:
        raise Damaged(f"{FILES_NAME} of the artifact cannot be read: {exc}") from exc


def _plain_name(layer: Mapping[str, Any]) -> str:
    name = (layer.get("annotations") or {}).get(TITLE)
    if not isinstance(name, str) or Path(name).name != name:
        raise Damaged(f"a layer of the artifact names no file: {name!r}")
    return name
