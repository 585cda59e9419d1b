"""The parts of an image as CycloneDX 1.6 JSON: Debian packages, wheels, Skerry, the model.

Read from the image itself, not from the locks it was made of: what a scanner would find is what is listed.
Equal images give equal documents: no time, and a serial number made of the image's digest.
"""

from __future__ import annotations

import tarfile
import uuid
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Any

import skerry
from skerry.errors import Damaged
from skerry.oci.image import Image, canonical_json
from skerry.oci.layer_stream import open_layer
from skerry.oci.layout import blob_path, read_layout, reference_name
from skerry.package.manifest import Package

SPEC_VERSION = "1.6"
DISTRIBUTION = "debian-12"
# Serial numbers of ours are name-based (RFC 9562 §5.5) in this namespace.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "sbom.skerry.io")
LICENCES_MAX = 100


def image_sbom(layout: Path, package: Package | None) -> bytes:
    """The document for the image in ``layout``; ``package`` is the model in it, where it serves one."""
    image = read_layout(layout)
    name = reference_name(layout) or layout.name
    parts = [*_installed(layout, image), _skerry()]
    if package is not None:
        parts.append(_model(package))
    about = {
        "type": "container",
        "bom-ref": str(image.manifest_digest),
        "name": name,
        "version": str(image.manifest_digest),
        "hashes": [_hash(image.manifest_digest.hex)],
    }
    return _document(about, parts, str(image.manifest_digest))


def package_sbom(package: Package) -> bytes:
    """The document for a package alone: the model and its files."""
    return _document(_model(package), [], package.digest)


def _document(about: dict[str, Any], parts: list[dict[str, Any]], digest: str) -> bytes:
    ordered = sorted(parts, key=lambda part: str(part["bom-ref"]))
    return canonical_json(
        {
            "bomFormat": "CycloneDX",
            "specVersion": SPEC_VERSION,
            "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, digest)}",
            "version": 1,
            "metadata": {
                "component": about,
                "tools": {
                    "components": [{"type": "application", "name": "skerry", "version": skerry.__version__}]
                },
            },
            "components": ordered,
            "dependencies": [{"ref": about["bom-ref"], "dependsOn": [part["bom-ref"] for part in ordered]}],
        }
    )


def _installed(layout: Path, image: Image) -> Iterator[dict[str, Any]]:
    """Debian packages by their status files (as distroless images have them), wheels by their metadata."""
    for layer in image.layers:
        with open_layer(blob_path(layout, layer.descriptor.digest), layer) as stream:
            try:
                with tarfile.open(fileobj=stream, mode="r|") as tar:
                    for member in tar:
                        yield from _component(tar, member, image.architecture)
            except tarfile.TarError as exc:
                raise Damaged(f"a layer of the image cannot be read: {exc}", layer=layer.label) from exc


def _component(tar: tarfile.TarFile, member: tarfile.TarInfo, architecture: str) -> Iterator[dict[str, Any]]:
    path = PurePosixPath(member.name)
    is_deb = path.parent == PurePosixPath("var/lib/dpkg/status.d")
    is_wheel = path.name == "METADATA" and path.parent.suffix == ".dist-info"
    if not member.isfile() or not (is_deb or is_wheel):
        return
    file = tar.extractfile(member)
    headers = HeaderParser().parsestr(file.read().decode("utf-8", "replace") if file else "")
    if is_deb:
        yield _deb(headers["Package"], headers["Version"], headers["Architecture"] or architecture)
    else:
        licence = headers["License-Expression"] or headers["License"]
        yield _wheel(headers["Name"], headers["Version"], licence)


def _deb(name: str, version: str, architecture: str) -> dict[str, Any]:
    purl = f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch={architecture}&distro={DISTRIBUTION}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _wheel(name: str, version: str, licence: str | None) -> dict[str, Any]:
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    part: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
    }
    if licence and len(licence) <= LICENCES_MAX and "\n" not in licence:
        part["licenses"] = [{"license": {"name": licence}}]
    return part


def _skerry() -> dict[str, Any]:
    purl = f"pkg:pypi/skerry@{skerry.__version__}"
    return {
        "type": "application",
        "bom-ref": purl,
        "name": "skerry",
        "version": skerry.__version__,
        "purl": purl,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }


def _model(package: Package) -> dict[str, Any]:
    files = package.manifest["files"]
    entries = files if isinstance(files, dict) else {}
    return {
        "type": "machine-learning-model",
        "bom-ref": f"skerry:{package.digest}",
        "name": package.name,
        "version": package.digest,
        "hashes": [_hash(package.digest.removeprefix("sha256:"))],
        "components": [
            {
                "type": "data" if path.startswith("golden/") else "file",
                "bom-ref": f"skerry:{package.digest}#{path}",
                "name": path,
                "hashes": [_hash(entry["sha256"])],
            }
            for path, entry in sorted(entries.items())
        ],
    }


def _hash(hex_digits: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": hex_digits}
