"""The capture module's settings, by our variables or by those of the tutorial's capture module."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from skerry.errors import InvalidInput

# Where the tutorial's module showed its video.
SHOW_VIDEO_PORT = 5012

SIDE_PIXELS_MAX = 8192

TRANSPORTS = ("tcp", "udp")

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("", "false", "0", "no", "off")


@dataclass(frozen=True, slots=True)
class CaptureSettings:
    """What is captured, how it is changed, where it goes."""

    place: str
    """A folder, a video file, a camera's device, or an ``rtsp://`` address."""
    name: str = "camera"
    """What the receiver calls the source."""
    endpoint: str | None = None
    """Where frames are posted; None: they go as messages."""
    params: Mapping[str, str] = field(default_factory=dict)
    """The endpoint's query."""
    loop: bool = True
    frames_per_second: float | None = None
    """None: as the source has it; 0: as fast as they are accepted."""
    gray: bool = False
    size: tuple[int, int] | None = None
    transport: str = "tcp"
    live_port: int | None = None

    @property
    def shown(self) -> str:
        """The place as it may be logged: an address without its user and password."""
        return re.sub(r"^([a-zA-Z][\w+.-]*://)[^/]*@", r"\1", self.place)


def read_capture_settings(environ: Mapping[str, str]) -> CaptureSettings:
    """The settings in ``environ``. Raises InvalidInput naming the variable, never a password in it."""
    place = (environ.get("SKERRY_SOURCE") or environ.get("VIDEO_PATH") or "").strip()
    if not place:
        raise InvalidInput(
            "no source", hint="SKERRY_SOURCE or VIDEO_PATH is a folder, a video file, a camera, rtsp://…"
        )
    if place.isdecimal():
        # As OpenCV, and so the tutorial, counts cameras.
        place = f"/dev/video{int(place)}"
    live = environ.get("SKERRY_LIVE_PORT", "").strip()
    shown = SHOW_VIDEO_PORT if _flag(environ, "SHOW_VIDEO", default=False) else None
    return CaptureSettings(
        place=place,
        name=(environ.get("SKERRY_SOURCE_NAME") or environ.get("IOTEDGE_MODULEID") or "camera").strip()[:100],
        endpoint=_endpoint(environ.get("IMAGE_PROCESSING_ENDPOINT", "").strip()),
        params=_params(environ.get("IMAGE_PROCESSING_PARAMS", "").strip()),
        loop=_flag(environ, "LOOP_VIDEO", default=True),
        frames_per_second=_rate(environ.get("SKERRY_FRAMES_PER_SECOND", "").strip()),
        gray=_flag(environ, "CONVERT_TO_GRAY", default=False),
        size=_size(environ),
        transport=_transport(environ.get("SKERRY_RTSP_TRANSPORT", "").strip().lower() or "tcp"),
        live_port=_whole("SKERRY_LIVE_PORT", live, 65535) if live else shown,
    )


def _flag(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    if name not in environ:
        return default
    text = environ[name].strip().lower()
    if text not in (*_TRUE, *_FALSE):
        raise InvalidInput(f"{name}={text[:20]} is neither True nor False", field=name)
    return text in _TRUE


def _endpoint(text: str) -> str | None:
    if not text:
        return None
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fits = False
    if not fits:
        raise InvalidInput(
            "IMAGE_PROCESSING_ENDPOINT is not an http address", field="IMAGE_PROCESSING_ENDPOINT"
        )
    return text


def _params(text: str) -> Mapping[str, str]:
    """A JSON object, as the tutorial's manifest writes it."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        found = None
    if found == "":
        return {}
    if not isinstance(found, dict):
        raise InvalidInput("IMAGE_PROCESSING_PARAMS is not a JSON object", field="IMAGE_PROCESSING_PARAMS")
    return {str(name): str(value) for name, value in found.items()}


def _rate(text: str) -> float | None:
    try:
        rate = float(text) if text else None
    except ValueError:
        rate = -1.0
    if rate is not None and not 0 <= rate <= 1000:
        raise InvalidInput("SKERRY_FRAMES_PER_SECOND is 0 to 1000", field="SKERRY_FRAMES_PER_SECOND")
    return rate


def _size(environ: Mapping[str, str]) -> tuple[int, int] | None:
    names = ("RESIZE_WIDTH", "RESIZE_HEIGHT")
    width, height = (_whole(name, environ.get(name, "").strip() or "0", SIDE_PIXELS_MAX) for name in names)
    if bool(width) != bool(height):
        raise InvalidInput("RESIZE_WIDTH and RESIZE_HEIGHT go together", field="RESIZE_WIDTH")
    return (width, height) if width else None


def _whole(name: str, text: str, most: int) -> int:
    if not text.isdecimal() or len(text) > 9 or int(text) > most:
        raise InvalidInput(f"{name}={text[:20]} is not a whole number up to {most}", field=name)
    return int(text)


def _transport(text: str) -> str:
    if text not in TRANSPORTS:
        raise InvalidInput("SKERRY_RTSP_TRANSPORT is tcp or udp", field="SKERRY_RTSP_TRANSPORT")
    return text
