"""Large JPEG files are decoded at a fraction of their size where, and only where, the recipe says so."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from skerry.errors import InvalidInput
from skerry.package.framing import CentreCrop, Fit, Pad
from skerry.package.preprocess import decode, open_image, prepare, reduction
from skerry.package.recipe import Decode, InputSpec, Label, OutputSpec, Recipe, Resize

EXACT = Recipe(
    input=InputSpec("image", 32, 48, 3),
    output=OutputSpec("scores", "softmax", (Label("a", "a"), Label("b", "b"))),
)


def recipe(reduced: int, exif_orientation: bool = False) -> Recipe:
    return replace(EXACT, decode=Decode(exif_orientation=exif_orientation, reduced=reduced))


def smooth(width: int, height: int, kind: str = "JPEG", orientation: int = 1) -> bytes:
    """A picture that changes slowly, as large photographs do."""
    across, down = np.meshgrid(np.linspace(0, 3, width), np.linspace(0, 2, height))
    shades = np.stack([np.sin(across + down), np.cos(across), np.sin(down * 2)], axis=-1) * 100 + 128
    exif = Image.Exif()
    exif[274] = orientation
    data = io.BytesIO()
    Image.fromarray(shades.astype(np.uint8)).save(data, kind, quality=95, exif=exif)
    return data.getvalue()


def noise(width: int, height: int) -> bytes:
    """A picture in which no pixel is like its neighbour."""
    data = io.BytesIO()
    shades = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(shades).save(data, "JPEG", quality=95)
    return data.getvalue()


@pytest.mark.parametrize(
    ("size", "least", "divisor"),
    [
        ((384, 256), 1, 8),
        ((383, 256), 1, 4),
        ((384, 256), 2, 4),
        ((384, 256), 4, 2),
        ((384, 256), 8, 1),
        ((95, 64), 1, 1),
        ((4000, 64), 1, 2),
    ],
)
def test_as_many_pixels_stay_as_the_recipe_wants(size: tuple[int, int], least: int, divisor: int) -> None:
    image = open_image(smooth(*size))
    assert reduction(image, recipe(least)) == divisor
    assert decode(smooth(*size), recipe(least)).size == tuple(-(-side // divisor) for side in size)


def test_without_a_word_in_the_recipe_and_for_other_formats_the_whole_is_decoded() -> None:
    assert decode(smooth(384, 256), EXACT).size == (384, 256)
    assert decode(smooth(384, 256, "PNG"), recipe(1)).size == (384, 256)


def test_a_crop_and_a_picture_on_its_side_keep_enough_pixels() -> None:
    half = replace(recipe(1), crop=CentreCrop(0.5))
    assert reduction(open_image(smooth(384, 256)), half) == 4
    assert reduction(open_image(smooth(768, 256)), replace(recipe(1), crop=Pad())) == 8
    assert reduction(open_image(smooth(768, 128)), replace(recipe(1), crop=Fit())) == 4
    turned = recipe(1, exif_orientation=True)
    upright = decode(smooth(512, 384, orientation=6), turned)
    assert upright.size == (48, 64)


def test_a_slowly_changing_picture_is_prepared_almost_equally() -> None:
    data = smooth(1536, 1024)
    exact = prepare(data, EXACT)
    for least, allowed in ((1, 3.0), (2, 1.5), (4, 1.0)):
        assert np.abs(prepare(data, recipe(least)) - exact).max() <= allowed


def test_the_recipe_carries_it_and_old_recipes_keep_their_digest() -> None:
    found = Recipe.from_json(recipe(2).to_json())
    assert found == recipe(2)
    assert "reduced" not in str(EXACT.to_json())
    assert Recipe.from_json(EXACT.to_json()).digest == EXACT.digest != found.digest
    with pytest.raises(InvalidInput, match=r"decode\.reduced"):
        Decode(reduced=17)


def test_a_filter_without_antialias_shows_the_difference() -> None:
    """Why parity is measured, not assumed: nearest takes single pixels, which a reduced picture has not."""
    data = noise(384, 256)
    nearest = replace(EXACT, resize=Resize("nearest", False))
    reduced = replace(nearest, decode=Decode(reduced=1))
    assert np.abs(prepare(data, reduced) - prepare(data, nearest)).max() > 50
