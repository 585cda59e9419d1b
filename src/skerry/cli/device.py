"""``skerry device``: identities of devices at the hub. Verbs follow ``az iot hub device-identity``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from skerry.cli import output
from skerry.cli.login import hub_options, service_client


@click.group()
def device() -> None:
    """Create, list and remove device identities."""


@device.command()
@click.argument("device_id")
@click.option("--edge-enabled", is_flag=True, help="A device that runs modules.")
@hub_options
def create(
    device_id: str, edge_enabled: bool, hub_dir: Path | None, hub_port: int, hub_ca: Path | None
) -> None:
    """Register DEVICE_ID with fresh keys."""

    async def ask() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            made = await client.create_device(device_id, edge=edge_enabled)
            output.say(f"{made['deviceId']} created, {made['status']}")

    asyncio.run(ask())


@device.command(name="list")
@hub_options
@click.option("--output", "form", type=click.Choice(["table", "json"]), default="table")
def list_devices(hub_dir: Path | None, hub_port: int, hub_ca: Path | None, form: str) -> None:
    """The devices of the hub."""

    async def ask() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            found = await client.devices()
        for one in found:
            one.pop("authentication", None)
        if form == "json":
            output.dump(found)
            return
        rows = [
            (
                d["deviceId"],
                "edge" if d["capabilities"]["iotEdge"] else "leaf",
                d["status"],
                d["connectionState"],
            )
            for d in found
        ]
        output.say(output.table(["DEVICE", "KIND", "STATUS", "CONNECTION"], rows))

    asyncio.run(ask())


@device.command(name="connection-string")
@click.argument("device_id")
@hub_options
def show_connection_string(device_id: str, hub_dir: Path | None, hub_port: int, hub_ca: Path | None) -> None:
    """Print the connection string of DEVICE_ID. It holds a key: pipe it into skerry edge provision."""

    async def ask() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            output.say(await client.device_connection_string(device_id))

    asyncio.run(ask())


@device.command()
@click.argument("device_id")
@hub_options
def delete(device_id: str, hub_dir: Path | None, hub_port: int, hub_ca: Path | None) -> None:
    """Remove DEVICE_ID with its modules and twins."""

    async def ask() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            await client.delete_device(device_id)

    asyncio.run(ask())
    output.say(f"{device_id} removed")
