"""What is in an image, as CycloneDX; and the model inside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from skerry.errors import Damaged, NotFound
from skerry.model.image import model_files
from skerry.model.inspect import opened
from skerry.model.sbom import image_sbom, package_sbom
from skerry.oci.layer import File
from skerry.package.manifest import Package
from tests.unit.model.small_package import write_small_package
from tests.unit.oci.builders import stored, write_image

DEB = b"Package: zlib1g\nVersion: 1:1.2.13.dfsg-1+b1\nArchitecture: amd64\nDescription: compression\n more\n"
WHEEL = (
    b"Metadata-Version: 2.4\nName: Pillow_Simd\nVersion: 12.0.0\nLicense-Expression: MIT-CMU\n\nLong text.\n"
)


@pytest.fixture
def package(tmp_path: Path) -> Package:
    write_small_package(tmp_path / "p")
    return Package.open(tmp_path / "p")


@pytest.fixture
def layout(tmp_path: Path, package: Package) -> Path:
    blobs = tmp_path / "blobs"
    layers = [
        stored(blobs, [File("var/lib/dpkg/status.d/zlib1g", DEB), File("usr/lib/libz.so.1", b"elf")]),
        stored(blobs, [File("usr/lib/python3/dist-packages/pillow_simd-12.0.0.dist-info/METADATA", WHEEL)]),
        stored(blobs, list(model_files(package.directory))),
    ]
    write_image(tmp_path / "image", blobs, layers)
    return tmp_path / "image"


def parts(document: bytes) -> dict[str, Any]:
    return {part["name"]: part for part in json.loads(document)["components"]}


def test_debs_wheels_skerry_and_the_model_are_listed(layout: Path, package: Package) -> None:
    document = image_sbom(layout, package)
    found = parts(document)
    assert set(found) == {"zlib1g", "Pillow_Simd", "skerry", "tiny"}
    assert found["zlib1g"]["purl"] == "pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1%2Bb1?arch=amd64&distro=debian-12"
    assert found["Pillow_Simd"]["purl"] == "pkg:pypi/pillow-simd@12.0.0"
    assert found["Pillow_Simd"]["licenses"] == [{"license": {"name": "MIT-CMU"}}]
    model = found["tiny"]
    assert (model["type"], model["version"]) == ("machine-learning-model", package.digest)
    assert {"model.onnx", "recipe.json", "golden/000.png"} <= {c["name"] for c in model["components"]}
    root = json.loads(document)
    assert (root["bomFormat"], root["specVersion"], root["version"]) == ("CycloneDX", "1.6", 1)
    references = [part["bom-ref"] for part in root["components"]]
    assert root["dependencies"][0]["dependsOn"] == references
    assert len(set(references)) == len(references)


def test_equal_images_give_equal_documents(layout: Path, package: Package) -> None:
    assert image_sbom(layout, package) == image_sbom(layout, package)
    assert json.loads(package_sbom(package))["metadata"]["component"]["version"] == package.digest


def test_the_package_is_found_in_its_image(layout: Path, package: Package) -> None:
    with opened(layout) as found:
        assert found.digest == package.digest


def test_an_image_without_a_model_and_a_damaged_one_are_refused(tmp_path: Path, layout: Path) -> None:
    blobs = tmp_path / "more"
    write_image(tmp_path / "plain", blobs, [stored(blobs, [File("etc/motd", b"hello")])])
    with pytest.raises(NotFound, match="serves no model"), opened(tmp_path / "plain"):
        pass
    for blob in (layout / "blobs" / "sha256").iterdir():
        if blob.read_bytes()[:2] == b"\x1f\x8b":
            blob.unlink()
            blob.write_bytes(b"not gzip")
    with pytest.raises(Damaged), opened(layout):
        pass
