"""The user's own images, on which a conversion has to prove itself."""

from __future__ import annotations

from collections import defaultdict
from itertools import zip_longest
from pathlib import Path

import numpy as np

from skerry.errors import InvalidInput, NotFound, SkerryError
from skerry.model.keras_file import F32
from skerry.model.sample_arrays import Sample, array_samples
from skerry.package.preprocess import prepare
from skerry.package.recipe import Recipe

# Enough for agreement in steps of 0.4 %, few enough for a build in a minute on two cores.
SAMPLES_MAX = 256
# All inputs are held at once; 512 MB is 850 images of 224 x 224.
INPUT_BYTES_MAX = 512 << 20
SAMPLE_HINT = "take it out of the folder, or put a whole image there"


def read_samples(folder: Path, limit: int = SAMPLES_MAX) -> list[Sample]:
    """Up to ``limit`` images under ``folder``, taken in turn from each class (sub-folder), in name order.

    Instead of a folder also an ``.npz`` (``array_samples``). Hidden files are ignored. NotFound without the
    folder, InvalidInput when it has no files.
    """
    if folder.suffix == ".npz":
        return array_samples(folder, limit)
    if not folder.is_dir():
        raise NotFound(f"no sample folder {folder}", hint="a folder, or an .npz file", path=str(folder))
    classes: dict[str | None, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):
            classes[inside.parts[0] if len(inside.parts) > 1 else None].append(path)
    if not classes:
        raise InvalidInput(f"{folder} holds no images", hint="put some images like the device's into it")
    turns = zip_longest(*(classes[name] for name in sorted(classes, key=lambda name: name or "")))
    chosen = [path for turn in turns for path in turn if path is not None][:limit]
    return [_sample(path, folder) for path in sorted(chosen)]


def class_folders(folder: Path) -> list[str]:
    """The names of the class sub-folders, in Keras' order (sorted)."""
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def prepare_samples(samples: list[Sample], recipe: Recipe) -> F32:
    """The inputs, float32 [n, height, width, channels]; InvalidInput naming the file that is no image."""
    spec = recipe.input
    batch = np.empty((len(samples), spec.height, spec.width, spec.channels), np.float32)
    for row, sample in zip(batch, samples, strict=True):
        try:
            row[...] = prepare(sample.data, recipe)
        except SkerryError as exc:
            raise InvalidInput(
                f"sample {sample.name}: {exc.what}", hint=exc.hint or SAMPLE_HINT, sample=sample.name
            ) from exc
    return batch


def samples_bound(recipe: Recipe) -> int:
    """How many samples of this input size are used at most."""
    spec = recipe.input
    return max(1, min(SAMPLES_MAX, INPUT_BYTES_MAX // (4 * spec.height * spec.width * spec.channels)))


def _sample(path: Path, folder: Path) -> Sample:
    inside = path.relative_to(folder)
    return Sample(inside.as_posix(), path.read_bytes(), inside.parts[0] if len(inside.parts) > 1 else None)
