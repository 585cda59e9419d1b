"""Images become inputs exactly as the training made them."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from skerry.errors import InvalidInput, TooLarge, Unsupported
from skerry.package.framing import CentreCrop, Crop, Fit, Pad
from skerry.package.preprocess import crop_box, decode, prepare, prepare_batch
from skerry.package.recipe import Decode, InputSpec, Recipe, Resize, Scaling
from tests.unit.package.builders import pixels, png, recipe

FILTERS = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR,
           "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}  # fmt: skip


@pytest.mark.parametrize("method", FILTERS)
def test_pillow_methods_equal_pillow(method: str) -> None:
    array = pixels()
    expected = np.asarray(Image.fromarray(array).resize((8, 8), FILTERS[method]), np.float32)
    assert np.array_equal(prepare(png(array), recipe(resize=Resize.of(method))), expected)


def test_an_image_of_the_right_size_is_not_touched() -> None:
    array = pixels(8, 8)
    for resize in (Resize.of("bicubic"), Resize.of("bilinear", "tensorflow")):
        assert np.array_equal(prepare(png(array), recipe(resize=resize)), array.astype(np.float32))


def test_tensorflow_bilinear_follows_its_definition() -> None:
    array = pixels(5, 7)
    made = prepare(png(array), recipe(3, 11, resize=Resize.of("bilinear", "tensorflow")))
    for i, j in np.ndindex(3, 11):
        y, x = (i + 0.5) * 5 / 3 - 0.5, (j + 0.5) * 7 / 11 - 0.5
        rows = [max(0, min(4, int(np.floor(y)) + d)) for d in (0, 1)]
        columns = [max(0, min(6, int(np.floor(x)) + d)) for d in (0, 1)]
        fy, fx = y - np.floor(y), x - np.floor(x)
        corner = array[np.ix_(rows, columns)].astype(np.float64)
        top = corner[0, 0] * (1 - fx) + corner[0, 1] * fx
        bottom = corner[1, 0] * (1 - fx) + corner[1, 1] * fx
        assert np.allclose(made[i, j], top * (1 - fy) + bottom * fy, atol=1e-3)


def test_scaling_is_per_channel_and_bgr_comes_first() -> None:
    array = pixels(8, 8)
    made = prepare(png(array), recipe(decode=Decode("BGR"), scaling=Scaling((2.0,), (-1.0, -2.0, -3.0))))
    assert np.array_equal(made, array[:, :, ::-1].astype(np.float32) * 2 - np.array([1, 2, 3], np.float32))


def test_grey_input_has_one_channel() -> None:
    grey = pixels(8, 8)[:, :, 0]
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    made = prepare(buffer.getvalue(), recipe(channels=1, decode=Decode("L")))
    assert np.array_equal(made[:, :, 0], grey)
    assert np.array_equal(prepare(buffer.getvalue(), recipe())[:, :, 2], grey)


def test_exif_orientation_is_heeded_only_when_the_recipe_says_so() -> None:
    array = pixels(8, 8)
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", exif=exif)
    assert np.array_equal(prepare(buffer.getvalue(), recipe()), array)
    made = prepare(buffer.getvalue(), recipe(decode=Decode("RGB", exif_orientation=True)))
    assert np.array_equal(made, array[::-1, ::-1])


@given(st.integers(1, 900), st.integers(1, 900), st.floats(0.05, 1.0), st.integers(1, 64), st.integers(1, 64))
def test_the_crop_lies_inside_and_in_the_middle(
    width: int, height: int, fraction: float, across: int, down: int
) -> None:
    left, upper, right, lower = crop_box(
        (width, height), InputSpec("i", down, across, 3), CentreCrop(fraction)
    )
    assert 0 <= left < right <= width
    assert 0 <= upper < lower <= height
    assert 0 <= left - (width - right) <= 1
    assert 0 <= upper - (height - lower) <= 1


def test_the_crop_of_efficientnet_is_the_central_square() -> None:
    assert crop_box((451, 300), InputSpec("i", 224, 224, 3), CentreCrop(0.875)) == (95, 19, 357, 281)


@pytest.mark.parametrize("size", [(30, 50), (50, 30), (8, 8), (9, 7)])
def test_fit_and_pad_equal_pillows(size: tuple[int, int]) -> None:
    array = pixels(*size)
    image, method = Image.fromarray(array), Image.Resampling.BICUBIC
    fitted, padded = ImageOps.fit(image, (9, 8), method), ImageOps.pad(image, (9, 8), method, (7, 7, 7))
    resize = Resize.of("bicubic")
    assert np.array_equal(prepare(png(array), recipe(8, 9, resize=resize, crop=Fit())), np.asarray(fitted))
    assert np.array_equal(prepare(png(array), recipe(8, 9, resize=resize, crop=Pad(7))), np.asarray(padded))


def test_a_box_in_parts_of_a_pixel_needs_pillow() -> None:
    with pytest.raises(InvalidInput, match="only pillow"):
        recipe(resize=Resize.of("bilinear", "tensorflow"), crop=Fit())
    with pytest.raises(InvalidInput, match="from 0 to 255"):
        Pad(256)


@pytest.mark.parametrize("crop", [CentreCrop(0.875), Fit(), Pad(114), None])
def test_every_crop_survives_its_document(crop: Crop | None) -> None:
    assert Recipe.from_json(recipe(crop=crop).to_json()) == recipe(crop=crop)


def test_a_batch_is_its_images() -> None:
    images = [png(pixels(seed=s)) for s in range(3)]
    batch = prepare_batch(images, recipe())
    assert batch.shape == (3, 8, 8, 3)
    assert all(
        np.array_equal(row, prepare(image, recipe())) for row, image in zip(batch, images, strict=True)
    )


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8\xff\xe0nonsense", png(pixels(64, 64))[:300]])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="image"):
        decode(data, recipe())


def jpeg_with_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    buffer = io.BytesIO()
    Image.fromarray(pixels()).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


# A broken EXIF block is no reason to refuse the image; Pillow only warns about it.
@pytest.mark.filterwarnings("ignore::UserWarning")
@given(st.sampled_from([png(pixels()), jpeg_with_exif()]), st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_file_is_an_image_or_refused(whole: bytes, place: int, value: int) -> None:
    data = bytearray(whole)
    data[place % len(data)] = value
    mode = "RGB"
    with contextlib.suppress(InvalidInput, TooLarge, Unsupported):
        mode = decode(bytes(data), recipe(decode=Decode("RGB", exif_orientation=True))).mode
    assert mode == "RGB"


def test_sixteen_bit_images_are_refused() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(buffer, "PNG")
    with pytest.raises(Unsupported, match="8 bits"):
        decode(buffer.getvalue(), recipe())


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    buffer = io.BytesIO()
    Image.new("1", (20_000, 4_000)).save(buffer, "PNG")
    with pytest.raises(TooLarge, match="pixels"):
        decode(buffer.getvalue(), recipe())
