"""``model.toml``: what it says is done, before the guess and after the command line; mistakes are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from skerry.errors import InvalidInput, NotFound
from skerry.model.build import BuildRequest, build
from skerry.model.settings import read_settings, settings_beside
from skerry.package.framing import CentreCrop, Pad
from skerry.package.manifest import Package
from skerry.package.recipe import Label, Scaling
from skerry.sim.scenarios.keras_writer import KerasModelWriter
from tests.unit.package.builders import pixels, png

WHOLE = """
head = "probs"

[input]
colour = "BGR"
exif = true
crop = "pad"
pad_value = 114
resize = "tensorflow:bicubic:antialias"
mean = [103.9, 116.8, 123.7]
std = [57.0]

[outputs.probs]
labels = ["cat", ["n02", "dog"], "fish"]
top_k = 2
threshold = 0.25
"""


@pytest.fixture
def request_(tmp_path: Path) -> BuildRequest:
    """A model of three classes that rescales nothing, samples in no class folders, no labels."""
    writer, random = KerasModelWriter("tiny"), np.random.default_rng(7)
    image = writer.input("image", (8, 8, 3))
    options = {"data_format": "channels_last", "keepdims": False}
    pooled = writer.layer("GlobalAveragePooling2D", "pool", [image], (None, 3), options)
    weights = [random.normal(size=size).astype(np.float32) for size in ((3, 3), (3,))]
    dense = {"units": 3, "activation": "softmax", "use_bias": True}
    writer.save(tmp_path / "m.keras", writer.layer("Dense", "probs", [pooled], (None, 3), dense, weights))
    (tmp_path / "samples").mkdir()
    for i in range(4):
        (tmp_path / "samples" / f"{i}.png").write_bytes(png(pixels(20, 24, seed=i)))
    return BuildRequest(
        tmp_path / "m.keras", None, tmp_path / "samples", tmp_path / "package", reference="numpy"
    )


def test_the_file_beside_the_model_is_used_and_said(request_: BuildRequest, tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text(WHOLE)
    said: list[str] = []
    build(request_, said.append)
    recipe = Package.open(request_.output).recipe
    assert said[0] == f"settings from {tmp_path / 'model.toml'}"
    assert recipe.output.labels == (Label("0", "cat"), Label("n02", "dog"), Label("2", "fish"))
    assert (recipe.output.top_k, recipe.output.threshold) == (2, 0.25)
    assert (recipe.decode.colour, recipe.decode.exif_orientation, recipe.crop) == ("BGR", True, Pad(114))
    assert (recipe.resize.library, recipe.resize.method, recipe.resize.antialias) == (
        "tensorflow", "bicubic", True
    )  # fmt: skip
    assert recipe.scaling == Scaling.mean_std((103.9, 116.8, 123.7), (57.0,))
    assert (
        "inputs: BGR, turned by EXIF, the whole image on a ground of 114, tensorflow:bicubic to 8 x 8, "
        "scaling by numbers"
    ) in said


def test_the_command_line_comes_first(request_: BuildRequest, tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text(WHOLE)
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    said = replace(
        request_, labels=tmp_path / "labels.txt", crop=0.5, scaling="unit", colour="RGB", top_k=1,
        resize="pillow:nearest", outputs={},
    )  # fmt: skip
    with pytest.raises(InvalidInput, match="pad_value needs crop"):
        build(said, lambda _: None)
    (tmp_path / "model.toml").write_text(WHOLE.replace("pad_value = 114", ""))
    build(said, lambda _: None)
    recipe = Package.open(request_.output).recipe
    assert [label.name for label in recipe.output.labels] == ["a", "b", "c"]
    assert (recipe.crop, recipe.decode.colour, recipe.output.top_k) == (CentreCrop(0.5), "RGB", 1)
    assert recipe.scaling == Scaling((1 / 255,), (0.0,))
    # What the command line does not say is still the file's.
    assert (recipe.decode.exif_orientation, recipe.output.threshold) == (True, 0.25)


def test_a_file_of_the_models_own_name_comes_before_the_folders(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text("")
    assert settings_beside(tmp_path / "m.keras") == tmp_path / "model.toml"
    (tmp_path / "m.toml").write_text("")
    assert settings_beside(tmp_path / "m.keras") == tmp_path / "m.toml"
    assert settings_beside(tmp_path / "elsewhere" / "m.keras") is None


def test_labels_may_be_a_file_named_from_the_settings_folder(tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text('{"0": ["n01", "tench"], "1": ["n02", "shark"]}')
    (tmp_path / "model.toml").write_text('[outputs."dense/out"]\nlabels = "names.json"')
    outputs = read_settings(tmp_path / "model.toml").outputs
    assert outputs["dense/out"].labels == (Label("n01", "tench"), Label("n02", "shark"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[input]\nscalling = 'tf'", r"model\.toml: there is no setting input\.scalling"),
        ("[imput]", "there is no setting imput"),
        ("[outputs.probs]\nthresh = 1", r"no setting outputs\.probs\.thresh"),
        ("[outputs]\nprobs = 1", r"outputs\.probs must be a table"),
        ("[outputs.probs]\nkind = 'detection'", r"outputs\.probs\.kind must be one of softmax"),
        ("[outputs.probs]\nlabels = [1]", "label 0 is 1"),
        ("[outputs.probs]\nlabels = 7", r"labels must be a file, or a list"),
        ("[outputs.probs]\ntop_k = true", r"top_k must be a whole number"),
        ("[input]\nexif = 1", r"input\.exif must be true or false"),
        ("[input]\nsize = 8", r"input\.size must be \[height, width\]"),
        ("[input]\ncrop = [1]", r"input\.crop must be a share"),
        ("[input]\nmean = 1.0", "belong together"),
        ("[input]\nscaling = 'tf'\nscale = 2.0", "three ways to say one thing"),
        ("[input]\nscale = ['a']", r"input\.scale must be a number"),
        ("head =", "is not TOML"),
    ],
)
def test_every_mistake_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "model.toml").write_text(text)
    with pytest.raises(InvalidInput, match=said):
        read_settings(tmp_path / "model.toml")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no settings file .*other\.toml"):
        read_settings(tmp_path / "other.toml")


def test_answers_that_are_all_alike_are_doubted(request_: BuildRequest, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    request = replace(request_, labels=tmp_path / "labels.txt", scaling="unit")
    said: list[str] = []
    build(request, said.append)
    assert not any("proves little" in line for line in said)
    for path in request.samples.iterdir():
        path.write_bytes(png(pixels(20, 24, seed=1)))
    build(request, said.append)
    assert any("answers all samples alike" in line for line in said)


def test_the_guess_is_printed(request_: BuildRequest, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    said: list[str] = []
    build(replace(request_, labels=tmp_path / "labels.txt"), said.append)
    assert (
        "inputs: RGB, the whole image stretched, pillow:bilinear to 8 x 8 (default), scaling none "
        "(guessed: nothing in the model tells)"
    ) in said
    assert any("gets pixels of 0..255" in line for line in said)
