"""Models, labels and samples that are wrong: named, with a documented exit code, and no package is left."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from skerry.sim.scenarios.keras_writer import KerasModelWriter
from tests.system.bad_input.command import Outcome, skerry
from tests.unit.package.builders import pixels, png

pytestmark = pytest.mark.system

CLASSES = 3
MEMBERS = ("config.json", "metadata.json", "model.weights.h5")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a model of three classes, labels and samples that all fit."""
    write_model(tmp_path / "m.keras")
    (tmp_path / "labels.txt").write_text("cat\ndog\nfish\n")
    (tmp_path / "samples").mkdir()
    for i in range(3):
        (tmp_path / "samples" / f"{i}.png").write_bytes(png(pixels(20, 20, seed=i)))
    return tmp_path


def write_model(path: Path, head: str = "Dense") -> None:
    writer, random = KerasModelWriter("tiny"), np.random.default_rng(7)
    image = writer.input("image", (8, 8, 3))
    pool = {"data_format": "channels_last", "keepdims": False}
    pooled = writer.layer("GlobalAveragePooling2D", "pool", [image], (None, 3), pool)
    weights = [random.normal(size=size).astype(np.float32) for size in ((3, CLASSES), (CLASSES,))]
    dense = {"units": CLASSES, "activation": "softmax", "use_bias": True}
    writer.save(path, writer.layer(head, "my_head", [pooled], (None, CLASSES), dense, weights))


def build(
    place: Path, *options: str, labels: str = "labels.txt", file_bytes_max: int | None = None
) -> Outcome:
    return skerry(
        "model",
        "build",
        place / "m.keras",
        *("--samples", str(place / "samples"), "--labels", str(place / labels)),
        *("--reference", "numpy", "--package", str(place / "out" / "package")),
        *options,
        file_bytes_max=file_bytes_max,
    )


def nothing_left(place: Path) -> bool:
    """No package, and no half of one."""
    return not (place / "out").exists() or not any((place / "out").iterdir())


def test_what_fits_is_built(place: Path) -> None:
    build(place).succeeded()
    assert json.loads((place / "out" / "package" / "manifest.json").read_text())["name"] == "m"


def rewritten(path: Path, **members: bytes) -> None:
    """The model file with some members replaced."""
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in MEMBERS}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {
            **kept,
            **{name.replace("__", "."): data for name, data in members.items()},
        }.items():
            archive.writestr(name, data)


Spoil = Callable[[Path], object]
SPOILT: dict[str, tuple[Spoil, int, list[str]]] = {
    "a truncated file": (
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        3,
        ["m.keras is a truncated or damaged .keras file", "again, whole"],
    ),
    "not a zip": (
        lambda path: path.write_bytes(b"weights, honestly"),
        3,
        ["m.keras is no", "model.save('model.keras')"],
    ),
    "another zip": (
        lambda path: zipfile.ZipFile(path, "w").close(),
        3,
        ["m.keras has no config.json", "model.save('model.keras')"],
    ),
    "weights that are none": (
        lambda path: rewritten(path, model__weights__h5=b"junk"),
        3,
        ["the weights in m.keras cannot be read", "again, whole"],
    ),
    "a layer without a rule": (
        lambda path: write_model(path, "MyAttention"),
        9,
        ["MyAttention", "'my_head'", "replace the layer"],
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_model_that_cannot_be_read(name: str, place: Path) -> None:
    spoil, code, said = SPOILT[name]
    spoil(place / "m.keras")
    build(place).failed(code, *said, "hint: ")
    assert nothing_left(place)


def test_labels_that_do_not_match_the_outputs_are_counted(place: Path) -> None:
    (place / "five.txt").write_text("a\nb\nc\nd\ne\n")
    build(place, labels="five.txt").failed(3, "five.txt has 5 labels", "the model gives 3 numbers", "hint: ")
    (place / "odd.json").write_text('["cat", 3, "fish"]')
    build(place, labels="odd.json").failed(3, "odd.json: label 1 is 3", "hint: ")
    assert nothing_left(place)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("notes.txt", b"hello", "sample notes.txt: not an image"),
        ("cut.png", png(pixels(20, 20, seed=9))[:300], "sample cut.png: a broken image"),
    ],
)
def test_a_sample_that_is_no_image_is_named(name: str, data: bytes, said: str, place: Path) -> None:
    (place / "samples" / name).write_bytes(data)
    build(place).failed(3, said, "hint: ")
    assert nothing_left(place)


def test_an_image_name_is_checked_before_the_build(place: Path) -> None:
    outcome = build(place, "--image", "My Defects:1").failed(3, "not an image repository", "lower-case words")
    assert "reading" not in outcome.err
    assert nothing_left(place)


def test_a_full_disk_leaves_no_half_package(place: Path) -> None:
    build(place, file_bytes_max=512).failed(8, "no room to write", "free space")
    assert nothing_left(place)


def test_a_failed_build_keeps_the_package_that_was_there(place: Path) -> None:
    build(place).succeeded()
    before = {path: path.read_bytes() for path in (place / "out").rglob("*") if path.is_file()}
    (place / "five.txt").write_text("a\nb\nc\nd\ne\n")
    build(place, labels="five.txt").failed(3, "5 labels")
    assert {path: path.read_bytes() for path in (place / "out").rglob("*") if path.is_file()} == before
