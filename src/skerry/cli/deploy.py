"""``skerry deploy``: put modules on devices."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from skerry.cli import output
from skerry.cli.documents import read_json_file
from skerry.cli.fleet_deploy import COMMANDS
from skerry.cli.login import hub_options, service_client
from skerry.contract.manifest import parse_manifest


@click.group()
def deploy() -> None:
    """Deploy modules and see them run."""


for command in COMMANDS:
    deploy.add_command(command)


@deploy.command()
@click.argument("manifest", type=click.Path(path_type=Path))
def check(manifest: Path) -> None:
    """Check MANIFEST without sending it anywhere."""
    parsed = parse_manifest(read_json_file(manifest))
    output.say(
        f"{manifest} is valid: {len(parsed.agent.modules)} modules, {len(parsed.edge_hub.routes)} routes"
    )


@deploy.command()
@click.argument("device")
@click.argument("manifest", type=click.Path(path_type=Path))
@hub_options
def apply(device: str, manifest: Path, hub_dir: Path | None, hub_port: int, hub_ca: Path | None) -> None:
    """Apply MANIFEST to DEVICE; nothing is applied when any part of it is wrong."""
    document = read_json_file(manifest)
    parse_manifest(document)

    async def ask() -> None:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            await client.apply_configuration(device, document)

    asyncio.run(ask())
    output.say(f"applied to {device}; see it with: skerry deploy status {device}")


@deploy.command()
@click.argument("device")
@hub_options
@click.option("--output", "form", type=click.Choice(["table", "json"]), default="table")
def status(device: str, hub_dir: Path | None, hub_port: int, hub_ca: Path | None, form: str) -> None:
    """What DEVICE reports about its modules."""

    async def ask() -> dict[str, Any]:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            return await client.twin(device, "$edgeAgent")

    properties = asyncio.run(ask())["properties"]
    reported, desired = properties["reported"], properties["desired"]
    if form == "json":
        output.dump(reported)
        return
    said = reported.get("lastDesiredStatus") or {}
    output.say(
        f"desired version {desired.get('$version')}, seen {reported.get('lastDesiredVersion', '-')}: "
        f"{said.get('code', '-')} {said.get('description', '')}".rstrip()
    )
    if not said:
        output.say(f"{device} has reported nothing yet; is its runtime up? (skerry edge run)")
        return
    modules = {**(reported.get("systemModules") or {}), **(reported.get("modules") or {})}
    rows = [
        (
            name,
            module.get("runtimeStatus", "-"),
            module.get("restartCount", 0),
            (module.get("settings") or {}).get("image", "-"),
            module.get("statusDescription", ""),
        )
        for name, module in sorted(modules.items())
    ]
    output.say(output.table(["MODULE", "STATUS", "RESTARTS", "IMAGE", "DESCRIPTION"], rows))
