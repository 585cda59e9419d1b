"""Video files, cameras and RTSP streams, by PyAV."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import av
import av.error

from skerry.errors import NotFound, Unavailable
from skerry.sim.capture.settings import CaptureSettings
from skerry.sim.capture.source import Grabbed, encoded

# A stream that says nothing for so long is lost.
OPEN_S, READ_S = 5.0, 5.0

# Packets in a row that do not decode: not a scratch but another thing than a video.
BROKEN_MAX = 200

# 8K; a frame of more is an attack on the memory of a device.
PIXELS_MAX = 7680 * 4320


class VideoSource:
    """Frames as they are decoded; a packet that does not decode is left out and counted."""

    def __init__(self, settings: CaptureSettings) -> None:
        """Open it. Blocks. Raises NotFound for no such file, Unavailable for what does not open now."""
        self.broken = 0
        self._settings = settings
        self._number = 0
        self.live = "://" in settings.place or settings.place.startswith("/dev/")
        if not self.live and not Path(settings.place).is_file():
            raise NotFound(f"no video file {settings.place}", hint="SKERRY_SOURCE or VIDEO_PATH names it")
        try:
            self._container = av.open(settings.place, **_how(settings))
            self._stream = self._container.streams.video[0]
        except (av.error.FFmpegError, OSError) as exc:
            raise self._lost("cannot be opened", exc) from exc
        except IndexError as exc:
            self._container.close()
            raise Unavailable(f"{settings.shown} has no pictures") from exc
        if self._stream.width * self._stream.height > PIXELS_MAX:
            self._container.close()
            raise Unavailable(f"{settings.shown} has frames of more than {PIXELS_MAX} pixels")
        self.rate = float(self._stream.average_rate or 0)
        self._frames = self._decoded()

    def read(self) -> Grabbed | None:
        try:
            frame = next(self._frames, None)
        except (av.error.FFmpegError, OSError) as exc:
            raise self._lost("was lost", exc) from exc
        if frame is None:
            return None
        self._number += 1
        return Grabbed(f"{self._number:08}", lambda: encoded(frame.to_image(), self._settings))

    def close(self) -> None:
        self._frames.close()
        self._container.close()

    def _decoded(self) -> Generator[Any]:
        in_a_row = 0
        for packet in self._container.demux(self._stream):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                self.broken += 1
                in_a_row += 1
                if in_a_row > BROKEN_MAX:
                    raise
                continue
            in_a_row = 0
            yield from frames

    def _lost(self, how: str, error: Exception) -> Unavailable:
        # FFmpeg's own text repeats the address, with the password in it.
        reason = getattr(error, "strerror", None) or type(error).__name__
        return Unavailable(f"{self._settings.shown} {how}: {reason}")


def _how(settings: CaptureSettings) -> dict[str, Any]:
    how: dict[str, Any] = {"timeout": (OPEN_S, READ_S)}
    if settings.place.startswith("/dev/"):
        how["format"] = "v4l2"
    elif settings.place.startswith("rtsp"):
        how["options"] = {"rtsp_transport": settings.transport}
    return how
