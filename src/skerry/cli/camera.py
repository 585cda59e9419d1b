"""``skerry camera``: the capture module as an image."""

from __future__ import annotations

from pathlib import Path

import click

from skerry.cli import output
from skerry.cli.model_image import (
    architectures,
    cache_option,
    documents,
    images_option,
    load,
    platform_option,
    show,
)
from skerry.cli.model_package import output_option
from skerry.oci.python_image import machine_architecture
from skerry.oci.reference import parse_reference
from skerry.sim.capture.image import build_capture_image


@click.group()
def camera() -> None:
    """Make the module that takes pictures of a folder, a video, a camera, a stream."""


@camera.command()
@click.argument("reference")
@click.option(
    "--frames",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Pictures to have in the image; it plays them unless it is told otherwise.",
)
@click.option("--no-video", is_flag=True, help="For folders of pictures only: a third of the size.")
@platform_option
@images_option
@cache_option
@click.option("--no-load", is_flag=True, help="Leave it out of Docker, where there is one.")
@output_option
def image(
    reference: str,
    frames: Path | None,
    no_video: bool,
    platform: str | None,
    images: Path,
    cache: Path,
    no_load: bool,
    form: str,
) -> None:
    """Make the image REFERENCE (name:tag) of the capture module; no container engine is needed.

    \b
    skerry camera image gate-camera:1
    skerry model push images/gate-camera/1 hub.plant:8443/gate-camera:1
    """
    target = parse_reference(reference)
    wanted = architectures(platform)
    own = machine_architecture() if len(wanted) > 1 else wanted[0]
    tag = target.tag or "latest"
    made = {
        architecture: build_capture_image(
            name=target.name,
            tag=tag if architecture == own else f"{tag}-{architecture}",
            output=images,
            cache=cache,
            progress=output.note,
            frames=frames,
            video=not no_video,
            architecture=architecture,
        )
        for architecture in wanted
    }
    if form == "json":
        output.dump(documents(made))
    else:
        show(made)
    if not no_load and load(made, target):
        output.note(f"{target} loaded into Docker")
