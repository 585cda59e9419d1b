"""Where frames come from: the port, and the folder of pictures."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from skerry.errors import InvalidInput
from skerry.sim.capture.settings import CaptureSettings
from skerry.sim.source import Frame, folder_frames

QUALITY = 90

# A folder is a film without a clock.
FOLDER_RATE = 1.0


@dataclass(frozen=True, slots=True)
class Encoded:
    """A frame as a file."""

    data: bytes
    content_type: str


@dataclass(frozen=True, slots=True, eq=False)
class Grabbed:
    """A frame that was taken; many are let go without ever being encoded."""

    name: str
    encode: Callable[[], Encoded]
    """Blocks. Raises InvalidInput for a picture that does not decode."""


class Source(Protocol):
    """An opened source; its methods block and are called from one thread."""

    @property
    def live(self) -> bool:
        """Whether frames come whether or not somebody takes them."""

    @property
    def rate(self) -> float:
        """Frames per second by itself; 0 when unknown."""

    def read(self) -> Grabbed | None:
        """The next frame; None at the end. Raises Unavailable when the source is lost."""

    def close(self) -> None:
        """Let go of it."""


class FolderSource:
    """Pictures of a folder; untouched files unless they are to be changed."""

    live = False
    rate = FOLDER_RATE

    def __init__(self, settings: CaptureSettings) -> None:
        self._settings = settings
        self._frames = iter(folder_frames(Path(settings.place)))

    def read(self) -> Grabbed | None:
        frame = next(self._frames, None)
        return None if frame is None else Grabbed(frame.name, lambda: self._encoded(frame))

    def close(self) -> None:
        """Nothing is held open."""

    def _encoded(self, frame: Frame) -> Encoded:
        data = frame.read()
        if not self._settings.gray and self._settings.size is None:
            return Encoded(data, frame.content_type)
        try:
            with Image.open(io.BytesIO(data)) as image:
                return encoded(image, self._settings)
        except (OSError, ValueError, Image.DecompressionBombError) as exc:
            raise InvalidInput(f"{frame.name} is not a picture that can be read") from exc


def encoded(image: Image.Image, settings: CaptureSettings) -> Encoded:
    """The picture changed as the settings say, as JPEG."""
    changed = image.convert("L" if settings.gray else "RGB")
    if settings.size is not None:
        changed = changed.resize(settings.size)
    buffer = io.BytesIO()
    changed.save(buffer, "JPEG", quality=QUALITY)
    return Encoded(buffer.getvalue(), "image/jpeg")
