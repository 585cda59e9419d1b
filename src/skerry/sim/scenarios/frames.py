"""The camera's film: seeded crops of a few photos, as many different JPEG frames as wanted."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from random import Random

from PIL import Image

# A frame of a small industrial camera; IoT Hub messages hold 256 KB, base64 included.
SIDE_MIN, SIDE_MAX = 224, 320
FRAME_BYTES_MAX = 60_000
JPEG_QUALITY = 90
# Some 0.7 MB as PNG: three messages' worth.
LARGE_SIDE, NOISE = 640, 0.03
# How much of the photo's shorter side a frame shows: enough to leave the subject recognisable.
ZOOM_MIN, ZOOM_MAX = 0.72, 1.0


def write_frames(photos: Sequence[Path], folder: Path, count: int, seed: int = 1) -> dict[str, str]:
    """Write ``count`` frames in turn from each photo; returns photo stem by frame name.

    Same photos, count and seed: same bytes. Names sort in film order and carry the photo's name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = Random(seed)
    images = [(photo.stem, _rgb(photo)) for photo in sorted(photos)]
    seen: set[str] = set()
    source: dict[str, str] = {}
    while len(source) < count:
        stem, image = images[len(source) % len(images)]
        data = _frame(image, random)
        digest = hashlib.sha256(data).hexdigest()
        if digest in seen or len(data) > FRAME_BYTES_MAX:
            continue
        seen.add(digest)
        name = f"{len(source):05}-{stem}.jpg"
        (folder / name).write_bytes(data)
        source[name] = stem
    return source


def add_large_frame(folder: Path) -> str:
    """Write the film's first frame once more, enlarged beyond what a message holds; its name.

    It comes first in the film. Detail is added as a better camera's noise would: seeded.
    """
    first = min(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
    with Image.open(first) as image:
        large = image.convert("RGB").resize((LARGE_SIDE, LARGE_SIDE), Image.Resampling.BICUBIC)
    noise = Image.frombytes("RGB", large.size, Random(1).randbytes(3 * LARGE_SIDE * LARGE_SIDE))
    # "-" sorts before "."; PNG keeps the noise, so the file stays large.
    name = first.with_name(f"{first.stem}-large.png")
    Image.blend(large, noise, NOISE).save(name, "PNG")
    return name.relative_to(folder).as_posix()


def _rgb(photo: Path) -> Image.Image:
    with Image.open(photo) as image:
        return image.convert("RGB")


def _frame(image: Image.Image, random: Random) -> bytes:
    shorter = min(image.size)
    crop = int(shorter * random.uniform(ZOOM_MIN, ZOOM_MAX))
    left, upper = (_near_centre(side - crop, random) for side in image.size)
    side = random.randint(SIDE_MIN, SIDE_MAX)
    frame = image.resize((side, side), Image.Resampling.BICUBIC, (left, upper, left + crop, upper + crop))
    buffer = io.BytesIO()
    frame.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _near_centre(room: int, random: Random) -> int:
    """A camera drifts around its subject: within the middle half of the room there is."""
    return int(room * random.uniform(0.25, 0.75))
