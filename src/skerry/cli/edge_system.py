"""``skerry edge system``: the runtime itself, as ``iotedge system``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from skerry.cli import output
from skerry.cli.edge_directory import directory
from skerry.cli.management import API_VERSION, checked, get, get_json, management
from skerry.service.log import LEVELS


@click.group()
def system() -> None:
    """The runtime itself: its state, its log."""


@system.command()
@directory
def status(data_dir: Path) -> None:
    """What the runtime knows of itself, as JSON: link to the hub, queues, counters."""
    output.dump(asyncio.run(get_json(data_dir, "/status")))


@system.command()
@directory
@click.option("--since", help='Only what came after this: "10m", "1 day" or a time.')
@click.option("--until", help="Only what came before this.")
def logs(data_dir: Path, since: str | None, until: str | None) -> None:
    """The last lines the runtime logged."""
    given = {name: value for name, value in (("since", since), ("until", until)) if value is not None}
    for line in asyncio.run(get(data_dir, "/systeminfo/logs", **given)).text.splitlines():
        output.raw(line.encode())


@system.command()
@directory
def reprovision(data_dir: Path) -> None:
    """Ask the provisioning service anew which hub the device belongs to; modules stay."""

    async def ask() -> None:
        async with management(data_dir) as client:
            answer = await client.post("/device/reprovision", params={"api-version": API_VERSION})
            await checked(answer)
            said = answer.json()
            output.say(f"{said['device']} at {said['hub']}{', changed' if said['changed'] else ''}")

    asyncio.run(ask())


@system.command(name="set-log-level")
@directory
@click.argument("level", type=click.Choice(LEVELS))
def set_log_level(data_dir: Path, level: str) -> None:
    """How much the runtime logs from now on, until it is started again."""

    async def ask() -> None:
        async with management(data_dir) as client:
            query = {"api-version": API_VERSION}
            await checked(await client.put(f"/systeminfo/loglevel/{level}", params=query))

    asyncio.run(ask())
    output.say(level)
