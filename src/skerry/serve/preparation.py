"""Image files become model inputs: small ones at once, others on threads, very large ones in a lane apart."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

from PIL import Image

from skerry.errors import SkerryError
from skerry.package.preprocess import decode_opened, open_image, prepare_image, reduction
from skerry.package.recipe import Recipe
from skerry.serve.predictor import FloatArray

# Decoding overlaps with inference; a third thread only competes with the engine on a small device.
DECODE_THREADS = 2

# Some 0.3 ms of decoding: less than what handing it to a thread and back costs other callers.
IN_LOOP_BYTES_MAX = 16 * 1024
IN_LOOP_PIXELS_MAX = 160 * 160

# Above this one image takes more than 0.1 s. One at a time, on a thread of their own: however many come,
# ordinary images keep their threads, and memory holds one large bitmap.
LARGE_PIXELS = 8_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One image ready for the model; times in seconds, of the stage itself without waiting."""

    array: FloatArray
    digest: str
    """``sha256:…`` of the file."""
    decode_s: float
    preprocess_s: float


class Preparation:
    """Prepares images by one recipe; ``in_loop`` allows small ones to be decoded in the event loop."""

    def __init__(self, recipe: Recipe, *, threads: int, in_loop: bool) -> None:
        self._recipe = recipe
        self._in_loop = in_loop
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._large = ThreadPoolExecutor(1, thread_name_prefix="decode large")

    def at_once(self, data: bytes) -> Prepared | None:
        """The prepared image if it is so small that the loop does it itself. Raises as ``prepare`` does."""
        if not self._in_loop or len(data) > IN_LOOP_BYTES_MAX:
            return None
        began = perf_counter()
        image = open_image(data)
        if image.width * image.height > IN_LOOP_PIXELS_MAX:
            return None
        return _prepare(image, data, self._recipe, began)

    async def prepare(self, data: bytes) -> Prepared:
        """Raises InvalidInput, TooLarge or Unsupported for what is not an image we read."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _prepare_unless_large, data, self._recipe)
        if isinstance(found, Prepared):
            return found
        return await loop.run_in_executor(self._large, _prepare_large, found, data, self._recipe)

    def close(self) -> None:
        """Wait for what is being decoded, then free the threads."""
        self._threads.shutdown()
        self._large.shutdown()


def _prepare_unless_large(data: bytes, recipe: Recipe) -> Prepared | Image.Image:
    began = perf_counter()
    image = open_image(data)
    if image.width * image.height > LARGE_PIXELS * reduction(image, recipe) ** 2:
        return image
    return _prepare(image, data, recipe, began)


def _prepare_large(image: Image.Image, data: bytes, recipe: Recipe) -> Prepared:
    try:
        return _prepare(image, data, recipe, perf_counter())
    except MemoryError as exc:
        raise SkerryError("not enough memory for this image") from exc


def _prepare(image: Image.Image, data: bytes, recipe: Recipe, began: float) -> Prepared:
    pixels = decode_opened(image, recipe, len(data))
    decoded = perf_counter()
    array = prepare_image(pixels, recipe)
    ended = perf_counter()
    return Prepared(array, "sha256:" + hashlib.sha256(data).hexdigest(), decoded - began, ended - decoded)
