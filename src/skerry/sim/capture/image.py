"""The capture module as an image: our base, the wheels it needs, perhaps pictures of its own."""

from __future__ import annotations

import os
from pathlib import Path

import skerry
from skerry.errors import InvalidInput
from skerry.oci.debian.mirror import Mirror, find_mirror
from skerry.oci.download import Progress
from skerry.oci.image import RunConfig
from skerry.oci.layer import File
from skerry.oci.python_image import ENVIRONMENT, PYTHON, BuiltImage, Content, build_python_image
from skerry.oci.sources import import_closure, source_entries
from skerry.oci.wheels import BASIC_WHEELS, SITE, WEB_WHEELS, WheelGroup

CAPTURE = "sim.capture.main"
FRAMES_DIRECTORY = "opt/skerry/frames"

# PyAV with its FFmpeg; a layer of its own, since it is larger than all the rest.
VIDEO = WheelGroup("video", ("av",), drop=r"av/(?:include|datasets)(?:/.*|\.py)")


def build_capture_image(
    *,
    name: str,
    tag: str,
    output: Path,
    cache: Path,
    progress: Progress,
    frames: Path | None = None,
    video: bool = True,
    architecture: str | None = None,
    mirror: Mirror | None = None,
) -> BuiltImage:
    """The image ``name:tag`` of the capture module, at ``<output>/<name>/<tag>``.

    With ``frames`` it plays the pictures of that folder unless it is told otherwise; without ``video`` it
    plays folders only, and is as small as the other modules. InvalidInput for a folder without pictures.
    """
    contents = [Content("skerry: capture", tuple(_sources()))]
    env = dict(ENVIRONMENT)
    if frames is not None:
        contents.append(Content("frames", _files(frames)))
        env["VIDEO_PATH"] = f"/{FRAMES_DIRECTORY}"
    run = RunConfig(
        entrypoint=(PYTHON, "-m", f"skerry.{CAPTURE}"),
        env=env,
        labels={
            "org.opencontainers.image.title": name,
            "org.opencontainers.image.version": tag,
            "org.opencontainers.image.description": "Skerry capture module",
        },
    )
    return build_python_image(
        (BASIC_WHEELS, WEB_WHEELS, *((VIDEO,) if video else ())),
        contents,
        run,
        name=name,
        tag=tag,
        output=output,
        cache=cache,
        progress=progress,
        mirror=mirror or find_mirror(os.environ),
        architecture=architecture,
    )


def _sources() -> list[File]:
    package = Path(skerry.__file__).parent
    return source_entries(package, import_closure(package, [CAPTURE]), SITE)


def _files(frames: Path) -> tuple[File, ...]:
    paths = sorted(path for path in frames.rglob("*") if path.is_file())
    if not paths:
        raise InvalidInput(f"no pictures in {frames}", path=str(frames))
    return tuple(
        File(f"{FRAMES_DIRECTORY}/{path.relative_to(frames).as_posix()}", path.read_bytes()) for path in paths
    )
