"""``skerry twin``: what should be and what is, for a device or a module."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from skerry.cli import output
from skerry.cli.documents import parse_json
from skerry.cli.login import hub_options, service_client
from skerry.errors import InvalidInput


@click.group()
def twin() -> None:
    """Read and change twins."""


@twin.command()
@click.argument("device")
@click.option("--module")
@hub_options
def show(device: str, module: str | None, hub_dir: Path | None, hub_port: int, hub_ca: Path | None) -> None:
    """The twin of DEVICE, or of one of its modules."""

    async def ask() -> dict[str, Any]:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            return await client.twin(device, module)

    output.dump(asyncio.run(ask()))


@twin.command()
@click.argument("device")
@click.option("--module")
@click.option("--desired", help="JSON merged into the desired properties; null removes.")
@click.option("--tags", help="JSON merged into the tags.")
@hub_options
def update(
    device: str,
    module: str | None,
    desired: str | None,
    tags: str | None,
    hub_dir: Path | None,
    hub_port: int,
    hub_ca: Path | None,
) -> None:
    """Merge into the twin of DEVICE, or of one of its modules."""
    if desired is None and tags is None:
        raise InvalidInput("nothing to change", hint="give --desired or --tags")
    wanted = None if desired is None else parse_json(desired, "--desired")
    labels = None if tags is None else parse_json(tags, "--tags")

    async def ask() -> dict[str, Any]:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            return await client.patch_twin(device, module, desired=wanted, tags=labels)

    output.dump(asyncio.run(ask())["properties"]["desired"])
