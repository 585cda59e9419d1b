"""A folder of pictures is a camera with a fixed order."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.errors import InvalidInput, NotFound
from skerry.sim.source import folder_frames


def test_pictures_come_sorted_with_type_and_class(tmp_path: Path) -> None:
    for name in ("b.png", "dog/2.JPG", "cat/x/1.jpeg", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    frames = folder_frames(tmp_path)
    assert [(f.name, f.content_type, f.truth) for f in frames] == [
        ("b.png", "image/png", None),
        ("cat/x/1.jpeg", "image/jpeg", "cat"),
        ("dog/2.JPG", "image/jpeg", "dog"),
    ]
    assert frames[0].read() == b"b.png"


def test_no_folder_and_no_pictures_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        folder_frames(tmp_path / "nothing")
    with pytest.raises(InvalidInput):
        folder_frames(tmp_path)
