"""Video files through PyAV, folders of pictures, and what is neither."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pytest
from PIL import Image

from skerry.errors import InvalidInput, NotFound, Unavailable
from skerry.sim.capture.main import opener
from skerry.sim.capture.settings import CaptureSettings
from skerry.sim.capture.source import Encoded, FolderSource, Grabbed, Source
from skerry.sim.capture.video import VideoSource
from tests.unit.sim.capture.films import BLUE, GREEN, HEIGHT, RATE, RED, WIDTH, colour_of, write_film


def frames(source: Source) -> list[Grabbed]:
    found = []
    while (grabbed := source.read()) is not None:
        found.append(grabbed)
    source.close()
    return found


def picture_of(encoded: Encoded) -> Image.Image:
    return Image.open(io.BytesIO(encoded.data))


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mpeg4"), ("b.mkv", "libx264"), ("c.avi", "mjpeg")])
def test_a_video_file_gives_every_frame_as_jpeg(tmp_path: Path, name: str, codec: str) -> None:
    colours = [RED] * 3 + [GREEN] * 3 + [BLUE] * 3
    settings = CaptureSettings(str(write_film(tmp_path / name, colours, codec)))
    source = opener(settings)()
    assert (source.live, source.rate) == (False, RATE)
    found = [grabbed.encode() for grabbed in frames(source)]
    assert [colour_of(picture_of(each)) for each in found] == ["red"] * 3 + ["green"] * 3 + ["blue"] * 3
    assert {each.content_type for each in found} == {"image/jpeg"}
    assert picture_of(found[0]).size == (WIDTH, HEIGHT)


def test_frames_are_made_gray_and_another_size_when_asked_for(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.mp4", [RED])
    [grabbed] = frames(VideoSource(CaptureSettings(str(film), gray=True, size=(20, 10))))
    image = picture_of(grabbed.encode())
    assert (image.mode, image.size) == ("L", (20, 10))


def test_a_scratched_film_plays_on_and_counts_the_scratches(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.avi", [RED] * 40, "mjpeg")
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xd8"]
    for start, after in itertools.pairwise(starts[10:16]):
        # All of a frame but the header of the next one's chunk.
        data[start : after - 8] = bytes(after - 8 - start)
    path.write_bytes(data)
    source = VideoSource(CaptureSettings(str(path)))
    assert len(frames(source)) == 35
    assert source.broken == 5


def test_a_folder_gives_its_files_as_they_are_unless_they_are_to_be_changed(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), BLUE).save(buffer, "PNG")
    (tmp_path / "sky").mkdir()
    (tmp_path / "sky" / "1.png").write_bytes(buffer.getvalue())
    [grabbed] = frames(FolderSource(CaptureSettings(str(tmp_path))))
    assert (grabbed.name, grabbed.encode()) == ("sky/1.png", Encoded(buffer.getvalue(), "image/png"))
    [grabbed] = frames(opener(CaptureSettings(str(tmp_path), size=(8, 8)))())
    assert (picture_of(grabbed.encode()).size, grabbed.encode().content_type) == ((8, 8), "image/jpeg")
    (tmp_path / "sky" / "1.png").write_bytes(b"no picture")
    [grabbed] = frames(FolderSource(CaptureSettings(str(tmp_path), gray=True)))
    with pytest.raises(InvalidInput, match=r"sky/1\.png"):
        grabbed.encode()


def test_what_is_no_video_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        opener(CaptureSettings(str(tmp_path / "nothing.mp4")))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(Unavailable, match="cannot be opened"):
        opener(CaptureSettings(str(tmp_path / "text.mp4")))()


@pytest.mark.parametrize("place", ["/dev/video99", "rtsp://admin:secret@127.0.0.1:9/cam"])
def test_a_camera_that_is_not_there_is_unavailable_and_keeps_its_password(place: str) -> None:
    opening = opener(CaptureSettings(place))
    with pytest.raises(Unavailable) as caught:
        opening()
    assert "secret" not in str(caught.value)
    assert "admin" not in str(caught.value)
