"""From the bytes of an image file to the model's input, exactly as the recipe says."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import assert_never

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from skerry.errors import InvalidInput, TooLarge, Unsupported
from skerry.package.framing import CentreCrop, Fit, Pad
from skerry.package.recipe import InputSpec, Recipe
from skerry.package.resampling import resampled

# Industrial cameras end near 50 megapixels; a decoded RGB image of this size takes 192 MB.
PIXELS_MAX = 64_000_000
# Only what cameras and archives give; each further decoder is attack surface.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def decode(data: bytes, recipe: Recipe) -> Image.Image:
    """The image in ``data`` in mode RGB or L, upright where the recipe heeds EXIF.

    InvalidInput when it is no image or a broken one, TooLarge above PIXELS_MAX, Unsupported for more
    than 8 bits per channel (Pillow would clip those).
    """
    return decode_opened(open_image(data), recipe, len(data))


def open_image(data: bytes) -> Image.Image:
    """The image in ``data`` as its header describes it, nothing decoded. Raises as ``decode`` does."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as exc:
        raise InvalidInput(
            "not an image", hint=f"send one of {', '.join(FORMATS)}", bytes=len(data), starts=data[:8].hex()
        ) from exc
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise TooLarge(f"the image has more than {PIXELS_MAX} pixels", limit=PIXELS_MAX) from exc
    except _BROKEN as exc:
        raise InvalidInput(f"not an image that can be read: {exc}", bytes=len(data)) from exc
    if image.width * image.height > PIXELS_MAX:
        raise TooLarge(
            f"the image has {image.width} x {image.height} pixels, more than {PIXELS_MAX}", limit=PIXELS_MAX
        )
    if image.mode.startswith(("I", "F")):
        raise Unsupported(f"images of mode {image.mode} (more than 8 bits) are not known", mode=image.mode)
    return image


# What Pillow's decoders and its EXIF writer raise for truncated or malformed files (found by fuzzing).
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    ArithmeticError,
    struct.error,
)


def decode_opened(image: Image.Image, recipe: Recipe, size: int) -> Image.Image:
    """The rest of ``decode`` after ``open_image``; ``size`` is the file's, for the error."""
    divisor = reduction(image, recipe)
    try:
        if divisor > 1:
            image.draft(None, (image.width // divisor, image.height // divisor))
        image.load()
        upright = ImageOps.exif_transpose(image) if recipe.decode.exif_orientation else image
    except _BROKEN as exc:
        raise InvalidInput(f"a broken image: {exc}", bytes=size) from exc
    mode = "L" if recipe.decode.colour == "L" else "RGB"
    # Training code drops the alpha of a palette as well; Pillow warns of each such image unless told first.
    upright.info.pop("transparency", None)
    return upright if upright.mode == mode else upright.convert(mode)


# What libjpeg's scaled inverse transform offers beside the whole.
DIVISORS = (8, 4, 2)


def reduction(image: Image.Image, recipe: Recipe) -> int:
    """By what a JPEG that is not decoded yet may be divided while it is; 1: only the whole will do."""
    least = recipe.decode.reduced
    if not least or image.format != "JPEG":
        return 1
    width, height = image.size
    pixels = _pixels_each(width, height, recipe)
    if recipe.decode.exif_orientation:
        # It may lie on its side.
        pixels = min(pixels, _pixels_each(height, width, recipe))
    return next((divisor for divisor in DIVISORS if pixels >= least * divisor), 1)


def _pixels_each(width: int, height: int, recipe: Recipe) -> float:
    """How many pixels of the image, in one direction, go into one of the input's."""
    across, down = width / recipe.input.width, height / recipe.input.height
    match recipe.crop:
        case Pad():
            return max(across, down)
        case CentreCrop(fraction):
            return fraction * min(across, down)
        case Fit() | None:
            return min(across, down)
    assert_never(recipe.crop)


def prepare(data: bytes, recipe: Recipe) -> NDArray[np.float32]:
    """The model's input for one image file, float32 [height, width, channels]."""
    return prepare_image(decode(data, recipe), recipe)


def prepare_batch(images: Sequence[bytes], recipe: Recipe) -> NDArray[np.float32]:
    """The inputs of several files as one array, float32 [n, height, width, channels]."""
    spec = recipe.input
    batch = np.empty((len(images), spec.height, spec.width, spec.channels), np.float32)
    for row, data in zip(batch, images, strict=True):
        row[...] = prepare(data, recipe)
    return batch


def prepare_image(image: Image.Image, recipe: Recipe) -> NDArray[np.float32]:
    """Crop, resize, scale: the steps after decoding."""
    pixels = _framed(image, recipe)
    if recipe.decode.colour == "BGR":
        pixels = pixels[:, :, ::-1]
    if recipe.scaling.is_identity:
        return np.ascontiguousarray(pixels, np.float32)
    scaled = pixels * np.asarray(recipe.scaling.scale, np.float32)
    return np.asarray(scaled + np.asarray(recipe.scaling.offset, np.float32), np.float32)


def crop_box(size: tuple[int, int], spec: InputSpec, crop: CentreCrop | None) -> tuple[int, int, int, int]:
    """Left, upper, right, lower of what the recipe keeps of an image of (width, height)."""
    width, height = size
    if crop is None:
        return 0, 0, width, height
    # The side that bounds the box of the input's aspect ratio, in units of the input's sides.
    unit = min(width / spec.width, height / spec.height)
    across = max(1, int(crop.fraction * unit * spec.width))
    down = max(1, int(crop.fraction * unit * spec.height))
    # The odd pixel is cut from the left and the top, as tensorflow/tpu's evaluation does.
    left, upper = (width - across + 1) // 2, (height - down + 1) // 2
    return left, upper, left + across, upper + down


def _framed(image: Image.Image, recipe: Recipe) -> NDArray[np.float32]:
    """Cropped or padded and resized: float32 [height, width, channels] in 0..255."""
    target = (recipe.input.width, recipe.input.height)
    match recipe.crop:
        case Fit():
            return _array(ImageOps.fit(image, target, _FILTERS[recipe.resize.method]))
        case Pad(value):
            return _padded(image, recipe, target, value)
        case CentreCrop() | None:
            box = crop_box(image.size, recipe.input, recipe.crop)
            return _resize(image if box == (0, 0, *image.size) else image.crop(box), recipe, target)
    assert_never(recipe.crop)


def _padded(image: Image.Image, recipe: Recipe, target: tuple[int, int], value: int) -> NDArray[np.float32]:
    if recipe.resize.library == "pillow":
        ground = value if image.mode == "L" else (value,) * 3
        return _array(ImageOps.pad(image, target, _FILTERS[recipe.resize.method], color=ground))
    # tf.image.resize_with_pad, in its float32.
    ratio = max(np.float32(side) / np.float32(to) for side, to in zip(image.size, target, strict=True))
    width, height = (max(1, int(np.floor(np.float32(side) / ratio))) for side in image.size)
    pixels = _resize(image, recipe, (width, height))
    left, top = (target[0] - width) // 2, (target[1] - height) // 2
    framed = np.full((target[1], target[0], pixels.shape[2]), value, np.float32)
    framed[top : top + height, left : left + width] = pixels
    return framed


def _resize(image: Image.Image, recipe: Recipe, target: tuple[int, int]) -> NDArray[np.float32]:
    """float32 [height, width, channels] in 0..255; ``target`` is (width, height)."""
    resize = recipe.resize
    if resize.library == "pillow":
        resized = image if image.size == target else image.resize(target, _FILTERS[resize.method])
        return _array(resized)
    pixels = _array(image)
    if image.size == target:
        return pixels
    if resize.method == "nearest":
        return pixels[_nearest(image.height, target[1])][:, _nearest(image.width, target[0])]
    if resize.method != "bilinear" or resize.antialias:
        kernel = "lanczos3" if resize.method == "lanczos" else resize.method
        rows = resampled(pixels, target[1], 0, kernel, resize.antialias)
        return resampled(rows, target[0], 1, kernel, resize.antialias)
    rows = _blend(pixels, target[1], axis=0)
    return _blend(rows, target[0], axis=1)


def _array(image: Image.Image) -> NDArray[np.float32]:
    pixels = np.asarray(image, np.float32)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _nearest(source: int, target: int) -> NDArray[np.intp]:
    """tf.image.resize's nearest: half-pixel centres, rounded down."""
    scale = np.float32(source) / np.float32(target)
    places = np.floor((np.arange(target, dtype=np.float32) + np.float32(0.5)) * scale)
    return np.asarray(np.minimum(places, source - 1), np.intp)


def _blend(pixels: NDArray[np.float32], target: int, axis: int) -> NDArray[np.float32]:
    """tf.image.resize's bilinear along one axis: half-pixel centres, no antialias, float32."""
    source = pixels.shape[axis]
    scale = np.float32(source) / np.float32(target)
    centres = (np.arange(target, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    lower = np.floor(centres)
    weight = centres - lower
    low = np.clip(lower, 0, source - 1).astype(np.intp)
    high = np.clip(lower + 1, 0, source - 1).astype(np.intp)
    shape = [1] * pixels.ndim
    shape[axis] = target
    below, above = pixels.take(low, axis), pixels.take(high, axis)
    return np.asarray(below + (above - below) * weight.reshape(shape), np.float32)
