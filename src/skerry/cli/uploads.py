"""``skerry uploads``: the files that devices sent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from skerry.cli import output
from skerry.cli.login import hub_options, service_client
from skerry.contract.file_upload import BlobName
from skerry.store.faults import translate_os


@click.group()
def uploads() -> None:
    """List, fetch and delete the files that devices uploaded."""


@uploads.command(name="list")
@hub_options
@click.option("--device", help="Only those of this device.")
@click.option("--output", "form", type=click.Choice(["table", "json"]), default="table")
def list_(hub_dir: Path | None, hub_port: int, hub_ca: Path | None, device: str | None, form: str) -> None:
    """The files by name."""

    async def read() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            while True:
                query = {"after": found[-1]["blobName"] if found else ""}
                query |= {} if device is None else {"device": device}
                page = await client.call("GET", "/uploads", query=query)
                if not page:
                    return found
                found += page

    files = asyncio.run(read())
    if form == "json":
        output.dump(files)
        return
    rows = [[file["blobName"], file["bytes"], file["contentType"], file["lastUpdatedTime"]] for file in files]
    output.say(output.table(["name", "bytes", "type", "uploaded"], rows))


@uploads.command()
@hub_options
@click.argument("name")
@click.option("--to", type=click.Path(path_type=Path), help="Where to; the last part of its name otherwise.")
def get(hub_dir: Path | None, hub_port: int, hub_ca: Path | None, name: str, to: Path | None) -> None:
    """Fetch a file, named as ``list`` shows it."""
    blob = BlobName.parse(name)
    target = to or Path(blob.name.rpartition("/")[2])

    async def fetch() -> int:
        size, partial = 0, target.with_name(f"{target.name}.part")
        try:
            async with (
                service_client(hub_dir, hub_port, hub_ca) as client,
                client.download(blob.path) as content,
            ):
                with partial.open("wb") as file:
                    async for chunk in content:
                        size += file.write(chunk)
            partial.replace(target)
        except OSError as error:
            raise translate_os(error, target) from error
        finally:
            partial.unlink(missing_ok=True)
        return size

    output.say(f"{target}: {asyncio.run(fetch())} bytes")


@uploads.command()
@hub_options
@click.argument("name")
def delete(hub_dir: Path | None, hub_port: int, hub_ca: Path | None, name: str) -> None:
    """Remove a file from the hub."""
    path = BlobName.parse(name).path

    async def remove() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            await client.call("DELETE", path)

    asyncio.run(remove())
    output.say(f"deleted {name}")
