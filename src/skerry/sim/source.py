"""Pictures of a folder, in a fixed order, as frames of a camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from skerry.errors import InvalidInput, NotFound

CONTENT_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture: its path inside the folder, its type, and its class where the folder tells it."""

    name: str
    path: Path
    content_type: str
    truth: str | None

    def read(self) -> bytes:
        """The file's bytes."""
        return self.path.read_bytes()


def folder_frames(folder: Path) -> list[Frame]:
    """The JPEG and PNG files of ``folder`` and its subfolders, sorted by name.

    A picture in a subfolder has the first subfolder's name as its class. Raises NotFound for no
    such folder, InvalidInput for one without pictures.
    """
    if not folder.is_dir():
        raise NotFound(f"no folder {folder}", hint="set SKERRY_FRAMES_DIR", path=str(folder))
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in CONTENT_TYPES)
    if not paths:
        raise InvalidInput(f"no JPEG or PNG file in {folder}", path=str(folder))
    return [_frame(folder, path) for path in paths]


def _frame(folder: Path, path: Path) -> Frame:
    inside = path.relative_to(folder)
    truth = inside.parts[0] if len(inside.parts) > 1 else None
    return Frame(inside.as_posix(), path, CONTENT_TYPES[path.suffix.lower()], truth)
