"""Video files written for a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
WIDTH, HEIGHT, RATE = 64, 48, 25


def write_film(path: Path, colours: Sequence[tuple[int, int, int]], codec: str = "mpeg4") -> Path:
    """A film of one frame per colour."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = WIDTH, HEIGHT
        # JPEG has the full range of brightness.
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for colour in colours:
            pixels = np.full((HEIGHT, WIDTH, 3), colour, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def colour_of(image: Image.Image) -> str:
    """The picture's colour, by its middle."""
    pixel = np.asarray(image.convert("RGB"))[image.height // 2, image.width // 2]
    return ("red", "green", "blue")[int(pixel.argmax())]
