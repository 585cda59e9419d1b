"""Samples as arrays: an ``.npz`` with ``images`` and, where they are known, ``labels``."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from skerry.errors import InvalidInput, NotFound, TooLarge
from skerry.package.recipe import CHANNELS

# All of it is unpacked at once: 10,000 images of 224 x 224.
ARRAY_BYTES_MAX = 1_600_000_000
_HINT = 'numpy.savez("samples.npz", images=uint8 [n, height, width, 1 or 3], labels=[n] names or numbers)'


@dataclass(frozen=True, slots=True)
class Sample:
    """One image: its path under the folder or place in the array, its file's bytes, its class if known.

    ``label`` is the sub-folder's name, or what the array of labels says: a name or a label's place.
    """

    name: str
    data: bytes
    label: str | int | None = None


def array_samples(path: Path, limit: int) -> list[Sample]:
    """Up to ``limit`` images of the file's ``images``, spread evenly over them, each as a PNG.

    InvalidInput for a file, kind, shape or type of array that does not fit.
    """
    if not path.is_file():
        raise NotFound(f"no sample file {path}", path=str(path))
    images, labels = _arrays(path)
    count = min(limit, len(images))
    places = [i * len(images) // count for i in range(count)]
    known = [None if labels is None else _label(labels[place]) for place in places]
    return [
        Sample(f"{path.name}[{place}]", _png(images[place]), label)
        for place, label in zip(places, known, strict=True)
    ]


def _arrays(path: Path) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
    try:
        _bound(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError) as exc:
        raise _wrong(path, f"is no .npz of plain arrays: {exc}") from exc
    if odd := set(arrays) - {"images", "labels"}:
        raise _wrong(path, f"has an array {sorted(odd)[0]!r}; images and labels are read")
    if "images" not in arrays:
        raise _wrong(path, "has no array 'images'")
    images = arrays["images"]
    if images.dtype != np.uint8:
        raise _wrong(path, f"images are {images.dtype}; pixels as a camera gives them are uint8, 0 to 255")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in CHANNELS or 0 in images.shape:
        raise _wrong(path, f"images have the shape {list(arrays['images'].shape)}")
    labels = arrays.get("labels")
    if labels is not None and (labels.shape != (len(images),) or labels.dtype.kind not in "iuU"):
        raise _wrong(path, f"labels are {labels.dtype} {list(labels.shape)} for {len(images)} images")
    return images, labels


def _bound(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > ARRAY_BYTES_MAX:
        raise TooLarge(
            f"{path.name} holds {size / 1e9:.1f} GB of arrays",
            hint=f"{ARRAY_BYTES_MAX / 1e9:.1f} GB are read; a few hundred images are enough",
            path=str(path),
        )


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _label(value: Any) -> str | int:
    return str(value) if isinstance(value, str) else int(value)


def _wrong(path: Path, what: str) -> InvalidInput:
    return InvalidInput(f"{path.name} {what}", hint=_HINT, path=str(path))
