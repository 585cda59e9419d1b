"""``skerry device``: identities of devices at the hub. Verbs follow ``az iot hub device-identity``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import click

from skerry.cli import output
from skerry.cli.login import hub_options, service_client
from skerry.errors import InvalidInput

# As ``az iot hub device-identity create`` calls them → the registry's types.
AUTH_METHODS: Mapping[str, str] = {
    "shared_private_key": "sas",
    "x509_thumbprint": "selfSigned",
    "x509_ca": "certificateAuthority",
}


@click.group()
def device() -> None:
    """Create, list and remove device identities."""


@device.command()
@click.argument("device_id")
@click.option("--edge-enabled", is_flag=True, help="A device that runs modules.")
@click.option("--auth-method", type=click.Choice(list(AUTH_METHODS)), default="shared_private_key")
@click.option("--primary-thumbprint", default="", help="SHA-1 or SHA-256 of its certificate, hexadecimal.")
@click.option("--secondary-thumbprint", default="", help="That of the next certificate.")
@hub_options
def create(
    device_id: str,
    edge_enabled: bool,
    auth_method: str,
    primary_thumbprint: str,
    secondary_thumbprint: str,
    hub_dir: Path | None,
    hub_port: int,
    hub_ca: Path | None,
) -> None:
    """Register DEVICE_ID, with fresh keys unless it proves itself by a certificate."""
    prints = {"primaryThumbprint": primary_thumbprint, "secondaryThumbprint": secondary_thumbprint}
    if any(prints.values()) != (auth_method == "x509_thumbprint"):
        raise InvalidInput("thumbprints go with --auth-method x509_thumbprint", field="thumbprint")
    authentication = None
    if auth_method != "shared_private_key":
        authentication = {"type": AUTH_METHODS[auth_method], "x509Thumbprint": prints}

    async def ask() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            made = await client.create_device(device_id, edge=edge_enabled, authentication=authentication)
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
