"""A package as an OCI artifact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from skerry.errors import AlreadyExists, Damaged, InvalidInput, NotFound
from skerry.model.artifact import is_artifact, read_artifact, write_artifact
from skerry.model.inspect import opened, strangers, summary
from skerry.model.sign import generate_keys, sign_package
from skerry.package.manifest import Package
from skerry.package.trust import read_public_keys
from tests.unit.model.small_package import write_small_package


def blobs(layout: Path) -> set[str]:
    return {path.name for path in (layout / "blobs" / "sha256").iterdir()}


def manifest(layout: Path) -> dict[str, Any]:
    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    found: dict[str, Any] = json.loads((layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_text())
    return found


def test_a_package_comes_back_from_its_artifact_with_its_signature(tmp_path: Path) -> None:
    digest = write_small_package(tmp_path / "p")
    generate_keys(tmp_path / "k")
    sign_package(tmp_path / "p", tmp_path / "k")
    write_artifact(tmp_path / "p", tmp_path / "a", "models/tiny:1")
    read_artifact(tmp_path / "a", tmp_path / "back")
    trusted = read_public_keys(tmp_path / "k.pub")
    assert Package.open(tmp_path / "back", trusted_keys=trusted).digest == digest
    before = {
        p.relative_to(tmp_path / "p"): p.read_bytes() for p in (tmp_path / "p").rglob("*") if p.is_file()
    }
    after = {
        p.relative_to(tmp_path / "back"): p.read_bytes()
        for p in (tmp_path / "back").rglob("*")
        if p.is_file()
    }
    assert after == before
    with opened(tmp_path / "a", trusted) as package:
        assert package.digest == digest


def test_equal_packages_give_equal_artifacts_with_the_documented_types(tmp_path: Path) -> None:
    write_small_package(tmp_path / "p")
    first = write_artifact(tmp_path / "p", tmp_path / "a", "tiny:1")
    assert write_artifact(tmp_path / "p", tmp_path / "b", "tiny:1") == first
    found = manifest(tmp_path / "a")
    assert found["artifactType"] == "application/vnd.skerry.package.v1"
    assert found["config"]["mediaType"] == "application/vnd.skerry.package.manifest.v1+json"
    titles = [
        (layer["annotations"]["org.opencontainers.image.title"], layer["mediaType"])
        for layer in found["layers"]
    ]
    assert titles == [
        ("model.int8.onnx", "application/vnd.skerry.model.v1.onnx"),
        ("model.onnx", "application/vnd.skerry.model.v1.onnx"),
        ("files.tar", "application/vnd.skerry.package.files.v1.tar"),
    ]
    # The config is the package's manifest, so its digest is the package's.
    assert found["config"]["digest"] == Package.open(tmp_path / "p").digest


def test_signing_moves_the_signature_only(tmp_path: Path) -> None:
    write_small_package(tmp_path / "p")
    write_artifact(tmp_path / "p", tmp_path / "a", "tiny:1")
    before = blobs(tmp_path / "a")
    generate_keys(tmp_path / "k")
    sign_package(tmp_path / "p", tmp_path / "k")
    write_artifact(tmp_path / "p", tmp_path / "a", "tiny:1")
    # The signature and the artifact's manifest, which names it.
    assert len(blobs(tmp_path / "a") - before) == 2


def test_a_damaged_blob_leaves_no_package(tmp_path: Path) -> None:
    write_small_package(tmp_path / "p")
    write_artifact(tmp_path / "p", tmp_path / "a", "tiny:1")
    layer = manifest(tmp_path / "a")["layers"][0]["digest"].removeprefix("sha256:")
    (tmp_path / "a" / "blobs" / "sha256" / layer).write_bytes(b"other")
    with pytest.raises(Damaged, match="blob"):
        read_artifact(tmp_path / "a", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_other_things_are_no_artifacts(tmp_path: Path) -> None:
    write_small_package(tmp_path / "p")
    assert not is_artifact(tmp_path / "p")
    with pytest.raises(NotFound):
        read_artifact(tmp_path / "p", tmp_path / "q")
    with pytest.raises(AlreadyExists, match="no OCI layout"):
        write_artifact(tmp_path / "p", tmp_path / "p", "tiny:1")
    with pytest.raises(InvalidInput):
        write_artifact(tmp_path / "p", tmp_path / "q", "not a name")


def test_a_file_nobody_vouches_for_is_found(tmp_path: Path) -> None:
    write_small_package(tmp_path / "p")
    assert strangers(Package.open(tmp_path / "p")) == []
    (tmp_path / "p" / "golden" / "extra.sh").write_text("rm")
    assert strangers(Package.open(tmp_path / "p")) == ["golden/extra.sh"]


def test_the_summary_says_what_is_offered(tmp_path: Path) -> None:
    digest = write_small_package(tmp_path / "p")
    about = summary(Package.open(tmp_path / "p"))
    assert (about["name"], about["digest"], about["chosen"], about["signedBy"]) == (
        "tiny",
        digest,
        "onnx-fp32",
        [],
    )
    assert "onnx-int8" in str(about["candidates"])
