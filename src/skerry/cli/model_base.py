"""``--base``: what an image stands on instead of our own base, from a folder, a tar or a registry."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from skerry.cli import output
from skerry.cli.registry_login import registry_session
from skerry.clock import SystemClock
from skerry.errors import InvalidInput
from skerry.oci.base_image import BaseImage, open_base
from skerry.oci.reference import Reference, parse_reference
from skerry.oci.registry.place import place_of
from skerry.oci.registry.pull import pull

base_option = click.option(
    "--base",
    "base_name",
    help="Stand on this image with Python 3.11 instead of our base: REGISTRY/NAME@sha256:…, or PATH of an OCI"
    " layout or docker archive.",
)


def base_image(text: str | None, architecture: str, cache: Path) -> BaseImage | None:
    """The base that was asked for, for ``architecture``; None when none was.

    InvalidInput for a registry's image without a digest: another day it would be another one.
    """
    if text is None:
        return None
    path, _, pinned = text.partition("@")
    if Path(path).exists():
        found = open_base(Path(path), architecture, cache, pinned=pinned)
    else:
        reference = parse_reference(text)
        if reference.registry is None or reference.digest is None:
            raise InvalidInput(
                f"the base {text} is no file, and as a registry's image it is not pinned",
                hint="REGISTRY/NAME@sha256:…; skerry prints the digest of a path",
                field="base",
            )
        found = open_base(
            asyncio.run(_pulled(reference, architecture, cache)), architecture, cache, name=text
        )
    output.note(f"base {found.name} {found.digest}, {found.python}")
    return found


async def _pulled(reference: Reference, architecture: str, cache: Path) -> Path:
    """The image as a layout in the cache; what is there is not fetched again."""
    place = place_of(reference)
    assert reference.digest is not None
    layout = cache / "pulled" / f"{reference.digest.hex}-{architecture}"
    async with registry_session(place.host, SystemClock(), hub_dir=None, ca=None, insecure=False) as registry:
        await pull(
            registry,
            place.repository,
            place.reference,
            layout,
            cache / "pulled" / "blobs",
            name=str(reference),
            architecture=architecture,
        )
    return layout
