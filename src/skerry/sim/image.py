"""The simulated camera as an image: our base, the camera's code, its frames."""

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
from skerry.oci.wheels import BASIC_WHEELS, SITE

FRAMES_DIRECTORY = "opt/skerry/frames"
CAMERA = "sim.camera"


def build_camera_image(
    frames: Path,
    *,
    name: str,
    tag: str,
    output: Path,
    cache: Path,
    progress: Progress,
    architecture: str | None = None,
    mirror: Mirror | None = None,
) -> BuiltImage:
    """The image ``name:tag`` that plays the files below ``frames``, at ``<output>/<name>/<tag>``.

    Base and wheels are the layers of the module image. ``InvalidInput`` when there is no frame.
    """
    paths = sorted(path for path in frames.rglob("*") if path.is_file())
    if not paths:
        raise InvalidInput(f"no frames in {frames}", hint="a directory of images", path=str(frames))
    files = tuple(
        File(f"{FRAMES_DIRECTORY}/{path.relative_to(frames).as_posix()}", path.read_bytes()) for path in paths
    )
    package = Path(skerry.__file__).parent
    sources = source_entries(package, import_closure(package, [CAMERA]), SITE)
    run = RunConfig(
        entrypoint=(PYTHON, "-m", f"skerry.{CAMERA}"),
        env={**ENVIRONMENT, "SKERRY_FRAMES_DIR": f"/{FRAMES_DIRECTORY}"},
        labels={
            "org.opencontainers.image.title": name,
            "org.opencontainers.image.version": tag,
            "org.opencontainers.image.description": "Skerry simulated camera",
        },
    )
    return build_python_image(
        (BASIC_WHEELS,),
        (Content("skerry: camera", tuple(sources)), Content("frames", files)),
        run,
        name=name,
        tag=tag,
        output=output,
        cache=cache,
        progress=progress,
        mirror=mirror or find_mirror(os.environ),
        architecture=architecture,
    )
