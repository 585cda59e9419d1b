"""``skerry model image``: a package as a container image, for one platform or several."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from skerry.cli import output
from skerry.cli.model_base import base_image, base_option
from skerry.cli.model_package import PLACE, output_option
from skerry.edge.engine.docker_load import load_into_docker
from skerry.errors import InvalidInput
from skerry.model.image import ModuleImage, build_module_image
from skerry.oci.dockerfile import write_context
from skerry.oci.image import ARCHITECTURES
from skerry.oci.layout import to_docker_archive
from skerry.oci.python_image import machine_architecture
from skerry.oci.reference import Reference, parse_reference

DEFAULT_CACHE = Path.home() / ".cache" / "skerry"
FORMATS = ("oci-layout", "docker-archive")
FOLDER = click.Path(path_type=Path, file_okay=False)

cache_option = click.option(
    "--cache",
    type=FOLDER,
    envvar="SKERRY_CACHE",
    default=DEFAULT_CACHE,
    show_default=True,
    help="Where downloads and compressed layers are kept.",
)
images_option = click.option(
    "--images", type=FOLDER, default=Path("images"), show_default=True, help="Where images are written."
)
platform_option = click.option(
    "--platform", help="linux/amd64, linux/arm64 or both, separated by a comma. Default: this machine's."
)
trusted_key_option = click.option(
    "--trusted-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Public key for the image: it serves only packages that this key signed.",
)


def architectures(platform: str | None) -> tuple[str, ...]:
    """Of ``linux/amd64,linux/arm64``; without it this machine's. InvalidInput names what has no images."""
    if platform is None:
        return (machine_architecture(),)
    found = []
    for item in (part.strip() for part in platform.split(",")):
        system, _, architecture = item.partition("/")
        if system != "linux" or architecture not in ARCHITECTURES:
            raise InvalidInput(
                f"no images for {item!r}",
                hint=f"platforms: {', '.join(f'linux/{one}' for one in ARCHITECTURES)}",
                field="platform",
            )
        found.append(architecture)
    return tuple(dict.fromkeys(found))


def make_images(
    package: Path,
    target: Reference,
    wanted: Sequence[str],
    *,
    images: Path,
    cache: Path,
    trusted_key: Path | None,
    base: str | None = None,
    grpc: bool = False,
) -> dict[str, ModuleImage]:
    """The image for each architecture, at ``<images>/<name>/<tag>``; with several, the machines of another
    architecture find theirs at ``<tag>-<architecture>``.
    """
    own = machine_architecture() if len(wanted) > 1 else wanted[0]
    tag = target.tag or "latest"
    return {
        architecture: build_module_image(
            package,
            name=target.name,
            tag=tag if architecture == own else f"{tag}-{architecture}",
            output=images,
            cache=cache,
            progress=output.note,
            architecture=architecture,
            trusted_key=trusted_key,
            base=base_image(base, architecture, cache),
            grpc=grpc,
        )
        for architecture in wanted
    }


def documents(made: dict[str, ModuleImage]) -> list[dict[str, Any]]:
    """The images for scripts, with their layers' compressed bytes."""
    return [
        {
            "reference": image.reference,
            "platform": f"linux/{architecture}",
            "digest": image.manifest_digest,
            "layout": str(image.layout),
            "bytes": sum(size for _, size in image.layers),
            "layers": [{"label": label, "bytes": size} for label, size in image.layers],
        }
        for architecture, image in made.items()
    ]


def show(made: dict[str, ModuleImage]) -> None:
    """The images for people: sizes by layer, compressed."""
    labels = list(dict.fromkeys(label for image in made.values() for label, _ in image.layers))
    sizes = [dict(image.layers) for image in made.values()]
    rows: list[tuple[object, ...]] = [
        (label, *(f"{of[label] / 1e6:.2f}" if label in of else "" for of in sizes)) for label in labels
    ]
    rows.append(("all", *(f"{sum(of.values()) / 1e6:.2f}" for of in sizes)))
    output.say(output.table(["LAYER (COMPRESSED MB)", *(f"LINUX/{one.upper()}" for one in made)], rows))
    for image in made.values():
        output.say(f"image {image.reference} {image.manifest_digest} in {image.layout}")


def load(made: dict[str, ModuleImage], target: Reference) -> bool:
    """Put this machine's image into Docker, where there is one."""
    mine = made.get(machine_architecture())
    return mine is not None and asyncio.run(load_into_docker(mine.layout, str(target)))


@click.command()
@click.argument("package", type=PLACE)
@click.argument("reference")
@platform_option
@images_option
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    default=FORMATS[0],
    show_default=True,
    help="docker-archive: also a tar for docker load, beside the layout.",
)
@click.option("--dockerfile", type=FOLDER, help="Also write a build context that gives the same image.")
@click.option("--no-load", is_flag=True, help="Leave it out of Docker, where there is one.")
@base_option
@click.option("--grpc", is_flag=True, help="With what the Open Inference Protocol over gRPC needs.")
@trusted_key_option
@cache_option
@output_option
def image(
    package: Path,
    reference: str,
    platform: str | None,
    images: Path,
    kind: str,
    dockerfile: Path | None,
    no_load: bool,
    base_name: str | None,
    grpc: bool,
    trusted_key: Path | None,
    cache: Path,
    form: str,
) -> None:
    """Make the image REFERENCE (name:tag) that serves PACKAGE; no container engine is needed.

    It has the engines of the package's candidates: with several of them (--ship all) a device measures at its
    first start what runs best there. Two builds of the same package give one digest; a new model changes the
    topmost layer only.

    \b
    skerry model image package/ defects:2 --platform linux/amd64,linux/arm64
    skerry model image package/ defects:2 --base python-3.11-slim.tar
    skerry model push images/defects/2 images/defects/2-arm64 hub.plant:8443/defects:2
    """
    target = parse_reference(reference)
    made = make_images(
        package,
        target,
        architectures(platform),
        images=images,
        cache=cache,
        trusted_key=trusted_key,
        base=base_name,
        grpc=grpc,
    )
    beside = [
        _beside(one, kind, dockerfile, f"-{name}" if len(made) > 1 else "") for name, one in made.items()
    ]
    if form == "json":
        output.dump([{**one, **more} for one, more in zip(documents(made), beside, strict=True)])
    else:
        show(made)
        for written in beside:
            for what, path in written.items():
                output.say(f"{what} {path}")
    if not no_load and load(made, target):
        output.note(f"{target} loaded into Docker")


def _beside(made: ModuleImage, kind: str, context: Path | None, suffix: str) -> dict[str, str]:
    written = {}
    if kind == "docker-archive":
        archive = made.layout.with_name(f"{made.layout.name}.tar")
        to_docker_archive(made.layout, archive)
        written["archive"] = str(archive)
    if context is not None:
        written["dockerfile"] = str(write_context(made.layout, context.with_name(context.name + suffix)))
    return written
