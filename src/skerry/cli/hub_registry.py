"""``skerry hub registry``: what the hub's container registry holds, and its garbage."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from skerry.cli import output
from skerry.cli.login import hub_options, service_client
from skerry.errors import InvalidInput

output_option = click.option("--output", "form", type=click.Choice(["table", "json"]), default="table")


@click.group()
def registry() -> None:
    """See and clean up the images and packages in the hub's container registry."""


@registry.command(name="list")
@hub_options
@output_option
def list_images(hub_dir: Path | None, hub_port: int, hub_ca: Path | None, form: str) -> None:
    """List every image and package with its tags, digest and size."""

    async def read() -> dict[str, Any]:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            return dict(await client.call("GET", "/containers"))

    found = asyncio.run(read())
    if form == "json":
        output.dump(found)
        return
    rows = [
        [
            image["repository"],
            image["tag"] or "",
            image["digest"],
            f"{image['bytes'] / 1e6:.1f}",
            image["pushed"][:19],
            image["pushedBy"],
        ]
        for image in found["images"]
    ]
    output.say(output.table(["REPOSITORY", "TAG", "DIGEST", "MB", "PUSHED", "BY"], rows))
    output.say(f"{found['bytes'] / 1e6:.1f} MB on disk; layers that images share are there once")


@registry.command()
@hub_options
@click.argument("image")
def delete(hub_dir: Path | None, hub_port: int, hub_ca: Path | None, image: str) -> None:
    """Delete a tag (NAME:TAG), or a manifest with all its tags (NAME@DIGEST); gc frees the space."""
    repository, mark, reference = image.partition("@") if "@" in image else image.rpartition(":")
    if not (repository and mark and reference):
        raise InvalidInput(f"{image} names no tag and no digest", hint="NAME:TAG or NAME@sha256:…")

    async def remove() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            await client.call("DELETE", f"/v2/{quote(repository)}/manifests/{quote(reference)}")

    asyncio.run(remove())
    output.say(f"{image} deleted")


@registry.command()
@hub_options
@click.option("--untagged", is_flag=True, help="Also remove what has no tag any more and no deployment pins.")
@click.option(
    "--grace",
    "grace_s",
    type=click.FloatRange(min=0),
    default=3600.0,
    show_default=True,
    help="Seconds that anything stays at least: a push may be under way.",
)
@output_option
def gc(
    hub_dir: Path | None, hub_port: int, hub_ca: Path | None, untagged: bool, grace_s: float, form: str
) -> None:
    """Collect garbage: layers that no image names any more. The registry goes on serving meanwhile."""

    async def collect() -> dict[str, Any]:
        asked = {"untagged": untagged, "graceSeconds": grace_s}
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            return dict(await client.call("POST", "/containers/collect", asked))

    found = asyncio.run(collect())
    if form == "json":
        output.dump(found)
        return
    output.say(
        f"removed {found['manifests']} manifests and {found['blobs']} blobs: {found['bytes'] / 1e6:.1f} MB"
    )
