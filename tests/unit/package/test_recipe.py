"""The recipe document."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.errors import InvalidInput
from skerry.package.framing import CentreCrop
from skerry.package.recipe import Decode, Label, Recipe, Resize, Scaling
from tests.unit.package.builders import recipe

resizes = st.sampled_from(
    [Resize.of(m) for m in ("nearest", "bilinear", "bicubic", "lanczos")]
    + [Resize.of(m, "tensorflow") for m in ("nearest", "bilinear")]
)
numbers = st.floats(-1e3, 1e3, allow_nan=False).map(float)


@given(
    resize=resizes,
    crop=st.none() | st.floats(0.01, 1).map(CentreCrop),
    scale=st.lists(numbers, min_size=3, max_size=3),
    colour=st.sampled_from(["RGB", "BGR"]),
    upright=st.booleans(),
)
def test_a_recipe_survives_its_document(
    resize: Resize, crop: CentreCrop | None, scale: list[float], colour: str, upright: bool
) -> None:
    made = recipe(
        resize=resize, crop=crop, scaling=Scaling(tuple(scale), (0.5,)), decode=Decode(colour, upright)
    )
    assert Recipe.from_json(made.to_json()) == made
    assert Recipe.from_json(made.to_json(labels=False), made.output.labels).digest == made.digest


def test_recipes_that_prepare_differently_have_different_digests() -> None:
    assert len({recipe().digest, recipe(crop=CentreCrop(0.5)).digest, recipe(height=9).digest}) == 3


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("input.height", 0),
        ("input.channels", 2),
        ("input.name", ""),
        ("decode.colour", "CMYK"),
        ("decode.exifOrientation", "yes"),
        ("crop.fraction", 1.5),
        ("crop.kind", "random"),
        ("resize.method", "area"),
        ("scaling.scale", [1.0, True, 1.0]),
        ("output.kind", "detection"),
        ("output.labels", []),
        ("output.topK", 0),
    ],
)
def test_a_wrong_value_is_named_by_its_path(path: str, value: object) -> None:
    document: dict[str, Any] = recipe(crop=CentreCrop()).to_json()
    part, key = path.split(".")
    document[part][key] = value
    with pytest.raises(InvalidInput) as caught:
        Recipe.from_json(document)
    assert str(caught.value.fields["path"]).startswith(path)


def test_a_resize_that_pillow_cannot_do_is_refused_with_what_it_can() -> None:
    with pytest.raises(InvalidInput, match="bilinear with antialias"):
        Resize("bilinear", antialias=False)


def test_mean_and_deviation_become_scale_and_offset() -> None:
    document: dict[str, Any] = recipe().to_json()
    document["scaling"] = {"mean": [10, 20, 30], "std": [2]}
    assert Recipe.from_json(document).scaling == Scaling((0.5,), (-5.0, -10.0, -15.0))


def test_colour_and_channels_must_agree() -> None:
    with pytest.raises(InvalidInput, match="L has 1 channels"):
        recipe(channels=3, decode=Decode("L"))


def test_a_binary_output_has_one_number_and_two_labels() -> None:
    assert recipe(kind="binary", labels=2).output.size == 1
    with pytest.raises(InvalidInput, match="two labels"):
        recipe(kind="binary", labels=3)


def test_labels_keep_id_and_name() -> None:
    assert recipe(labels=2).output.labels == (Label("n0", "thing 0"), Label("n1", "thing 1"))
