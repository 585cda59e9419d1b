"""``skerry certificate``: authorities of X.509 devices. Verbs follow ``az iot hub certificate``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from skerry.cli import output
from skerry.cli.login import hub_options, service_client
from skerry.errors import NotFound

pem_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group()
def certificate() -> None:
    """Upload and prove the authorities that devices' certificates come from."""


@certificate.command()
@click.argument("name")
@pem_file
@click.option("--verified", is_flag=True, help="Take my word that the authority is mine.")
@hub_options
def create(
    name: str, file: Path, verified: bool, hub_dir: Path | None, hub_port: int, hub_ca: Path | None
) -> None:
    """Upload the authority in FILE (PEM) as NAME."""
    pem = _read(file)

    async def ask() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            made = (await client.put_certificate(name, pem, verified=verified))["properties"]
        output.say(f"{name}: {made['subject']}, until {made['expiry']}")
        if not made["isVerified"]:
            output.say(f"next: skerry certificate generate-verification-code {name}")

    asyncio.run(ask())


@certificate.command(name="list")
@click.option("--output", "form", type=click.Choice(["table", "json"]), default="table")
@hub_options
def list_certificates(form: str, hub_dir: Path | None, hub_port: int, hub_ca: Path | None) -> None:
    """The authorities, and whether they are proved."""

    async def ask() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            found = await client.certificates()
        if form == "json":
            output.dump(found)
            return
        rows = [
            (one["name"], of["subject"], of["expiry"], "verified" if of["isVerified"] else "not verified")
            for one in found
            for of in [one["properties"]]
        ]
        output.say(output.table(["NAME", "SUBJECT", "EXPIRY", "STATE"], rows))

    asyncio.run(ask())


@certificate.command(name="generate-verification-code")
@click.argument("name")
@hub_options
def challenge(name: str, hub_dir: Path | None, hub_port: int, hub_ca: Path | None) -> None:
    """Print a code: have NAME issue a certificate with it as common name, to prove that it is yours."""

    async def ask() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            output.say(await client.challenge_certificate(name))

    asyncio.run(ask())


@certificate.command()
@click.argument("name")
@pem_file
@hub_options
def verify(name: str, file: Path, hub_dir: Path | None, hub_port: int, hub_ca: Path | None) -> None:
    """Show the certificate in FILE (PEM) that NAME issued for the code."""
    pem = _read(file)

    async def ask() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            await client.verify_certificate(name, pem)

    asyncio.run(ask())
    output.say(f"{name} is verified: devices may use certificates that it issued")


@certificate.command()
@click.argument("name")
@hub_options
def delete(name: str, hub_dir: Path | None, hub_port: int, hub_ca: Path | None) -> None:
    """Trust NAME no longer."""

    async def ask() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            await client.delete_certificate(name)

    asyncio.run(ask())
    output.say(f"{name} removed")


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"cannot read {file}", hint="give a PEM file", path=str(file)) from error
