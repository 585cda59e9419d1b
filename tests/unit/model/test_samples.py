"""Samples as arrays: ``.npz`` files with images and labels, and those that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from skerry.errors import InvalidInput, NotFound, TooLarge
from skerry.model import sample_arrays
from skerry.model.build import BuildRequest, build
from skerry.model.samples import read_samples
from skerry.package.manifest import Package
from skerry.package.preprocess import prepare
from skerry.package.recipe import Decode
from tests.unit.model.test_settings import request_
from tests.unit.package.builders import recipe

__all__ = ["request_"]

IMAGES = np.random.default_rng(1).integers(0, 256, (10, 8, 8, 3)).astype(np.uint8)


def test_arrays_are_samples_spread_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "val.npz"
    np.savez(path, images=IMAGES, labels=np.arange(10) % 3)
    samples = read_samples(path, 5)
    assert [(s.name, s.label) for s in samples] == [(f"val.npz[{i}]", i % 3) for i in (0, 2, 4, 6, 8)]
    assert np.array_equal(prepare(samples[1].data, recipe()), IMAGES[2])


@pytest.mark.parametrize("shape", [(4, 8, 8), (4, 8, 8, 1)])
def test_grey_images_may_leave_the_channel_out(tmp_path: Path, shape: tuple[int, ...]) -> None:
    labels = np.array(["a", "b", "a", "b"])
    np.savez_compressed(tmp_path / "grey.npz", images=np.full(shape, 9, np.uint8), labels=labels)
    samples = read_samples(tmp_path / "grey.npz")
    assert [s.label for s in samples] == ["a", "b", "a", "b"]
    assert prepare(samples[0].data, recipe(channels=1, decode=Decode("L"))).shape == (8, 8, 1)


def test_a_build_on_arrays_knows_the_accuracy(request_: BuildRequest, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    path = tmp_path / "val.npz"
    np.savez(path, images=IMAGES)
    request = replace(request_, samples=path, labels=tmp_path / "labels.txt", golden_count=4)
    assert build(request, lambda _: None).accuracy is None
    best = [int(sample.expected.argmax()) for sample in Package.open(request.output).golden]
    assert len(best) == 4
    np.savez(path, images=IMAGES, labels=np.zeros(10, np.int64))
    assert build(request, lambda _: None).accuracy in {i / 10 for i in range(11)}


def pickled(path: Path) -> None:
    np.savez(path, images=np.array([{}], dtype=object))


def cut(path: Path) -> None:
    np.savez(path, images=IMAGES)
    path.write_bytes(path.read_bytes()[:900])


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no zip": (lambda path: path.write_bytes(b"junk"), "is no .npz of plain arrays"),
    "cut": (cut, "is no .npz of plain arrays"),
    "objects": (pickled, "is no .npz of plain arrays"),
    "another name": (
        lambda path: np.savez(path, x_test=IMAGES),
        "array 'x_test'; images and labels",
    ),
    "no images": (lambda path: np.savez(path, labels=np.arange(3)), "has no array 'images'"),
    "floats": (lambda path: np.savez(path, images=IMAGES / 255), "images are float64; pixels .* uint8"),
    "one image": (lambda path: np.savez(path, images=IMAGES[0, 0]), r"the shape \[8, 3\]"),
    "four channels": (
        lambda path: np.savez(path, images=np.zeros((2, 8, 8, 4), np.uint8)),
        r"the shape \[2, 8, 8, 4\]",
    ),
    "none": (lambda path: np.savez(path, images=IMAGES[:0]), r"the shape \[0, 8, 8, 3\]"),
    "too few labels": (
        lambda path: np.savez(path, images=IMAGES, labels=np.arange(9)),
        r"labels are int64 \[9\] for 10 images",
    ),
    "float labels": (lambda path: np.savez(path, images=IMAGES, labels=np.ones(10)), "labels are float64"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_arrays_that_do_not_fit_are_refused(name: str, tmp_path: Path) -> None:
    write, said = SPOILT[name]
    write(tmp_path / "val.npz")
    with pytest.raises(InvalidInput, match=said) as caught:
        read_samples(tmp_path / "val.npz")
    assert "images=uint8" in caught.value.hint


def test_too_much_at_once_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "val.npz", images=IMAGES)
    monkeypatch.setattr(sample_arrays, "ARRAY_BYTES_MAX", 1000)
    with pytest.raises(TooLarge, match="GB of arrays"):
        read_samples(tmp_path / "val.npz")
    with pytest.raises(NotFound, match=r"no sample file .*none\.npz"):
        read_samples(tmp_path / "none.npz")
