"""The camera's film."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from skerry.contract.message import MESSAGE_BYTES_MAX
from skerry.sim.scenarios.frames import FRAME_BYTES_MAX, SIDE_MAX, SIDE_MIN, add_large_frame, write_frames
from tests.unit.package.builders import pixels, png


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Two photos of different shapes, smooth as photos are."""
    paths = []
    for name, (height, width) in {"cat": (300, 451), "dog": (500, 400)}.items():
        small = Image.open(io.BytesIO(png(pixels(9, 9, seed=height))))
        path = tmp_path / f"{name}.png"
        small.resize((width, height), Image.Resampling.BICUBIC).save(path)
        paths.append(path)
    return paths


def test_equal_seeds_give_equal_frames(photos: list[Path], tmp_path: Path) -> None:
    films = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_frames(photos, tmp_path / folder, 10, seed)
        films.append([path.read_bytes() for path in sorted((tmp_path / folder).iterdir())])
    assert films[0] == films[1] != films[2]


def test_frames_are_different_bounded_and_named_after_their_photo(photos: list[Path], tmp_path: Path) -> None:
    source = write_frames(photos, tmp_path / "film", 60)
    contents = {name: (tmp_path / "film" / name).read_bytes() for name in source}
    assert len(set(contents.values())) == 60
    assert [source[name] for name in sorted(source)] == ["cat", "dog"] * 30
    for name, data in contents.items():
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.width) == ("JPEG", image.height)
            assert SIDE_MIN <= image.width <= SIDE_MAX
        assert len(data) <= FRAME_BYTES_MAX
        assert name.endswith(f"-{source[name]}.jpg")


def test_a_frame_beyond_what_a_message_holds_opens_the_film(tmp_path: Path) -> None:
    photo = tmp_path / "lynx.png"
    Image.new("RGB", (400, 300), (90, 60, 30)).save(photo)
    write_frames([photo], tmp_path / "film", 2)
    name = add_large_frame(tmp_path / "film")
    names = sorted(path.name for path in (tmp_path / "film").iterdir())
    assert names == [name, "00000-lynx.jpg", "00001-lynx.jpg"]
    first = (tmp_path / "film" / name).read_bytes()
    assert len(first) > MESSAGE_BYTES_MAX
    assert Image.open(tmp_path / "film" / name).getpixel((320, 320)) == pytest.approx((90, 60, 30), abs=10)
    (tmp_path / "film" / name).unlink()
    add_large_frame(tmp_path / "film")
    assert (tmp_path / "film" / name).read_bytes() == first
