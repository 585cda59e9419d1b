"""Packages on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from skerry.errors import AlreadyExists, Damaged, InvalidInput, NotFound
from skerry.package.manifest import GoldenSample, Package, write_package
from tests.unit.package.builders import pixels, png, recipe


def write(directory: Path, model: bytes = b"onnx") -> str:
    golden = [GoldenSample(png(pixels(seed=s)), np.array([s, 1, 2, 3], np.float32)) for s in range(3)]
    return write_package(
        directory, name="cells", model=model, recipe=recipe(), golden=golden, certificate={"samples": 3}
    )


def test_a_package_opens_as_it_was_written(tmp_path: Path) -> None:
    digest = write(tmp_path / "p")
    package = Package.open(tmp_path / "p")
    assert (package.digest, package.name, package.recipe) == (digest, "cells", recipe())
    assert package.model_path.read_bytes() == b"onnx"
    assert package.certificate == {"samples": 3}
    assert [s.expected.tolist() for s in package.golden] == [[0, 1, 2, 3], [1, 1, 2, 3], [2, 1, 2, 3]]
    assert [s.image_bytes for s in package.golden] == [png(pixels(seed=s)) for s in range(3)]
    assert [s.name for s in package.golden] == ["golden/000.png", "golden/001.png", "golden/002.png"]


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    assert write(tmp_path / "a") == write(tmp_path / "b")
    for path in (tmp_path / "a").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
    assert write(tmp_path / "c", b"other") != write(tmp_path / "a")


def test_a_second_build_replaces_the_first(tmp_path: Path) -> None:
    write(tmp_path / "p")
    digest = write(tmp_path / "p", b"newer")
    assert Package.open(tmp_path / "p").digest == digest
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_other_folders_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(AlreadyExists, match="no model package"):
        write(tmp_path / "photos")
    assert (tmp_path / "photos" / "cat.jpg").read_bytes() == b"cat"


@pytest.mark.parametrize(
    "name", ["model.onnx", "recipe.json", "labels.json", "golden/001.png", "golden/expected.npy"]
)
def test_a_changed_or_missing_file_is_damage(tmp_path: Path, name: str) -> None:
    write(tmp_path / "p")
    path = tmp_path / "p" / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(Damaged, match=name):
        Package.open(tmp_path / "p")
    path.unlink()
    with pytest.raises(Damaged, match=f"lacks {name}"):
        Package.open(tmp_path / "p")


def test_no_package_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no model package"):
        Package.open(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "skerry.package/2"}, "schema must be one of"),
        ({"order": ["../secret"]}, "lie inside"),
        ({"order": []}, "names no"),
        ({"name": ""}, "name must be"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    write(tmp_path / "p")
    path = tmp_path / "p" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InvalidInput, match=message):
        Package.open(tmp_path / "p")
