"""``skerry edge``: give a device its identity, run it, look at it. Verbs follow ``iotedge``."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from skerry.cli import output
from skerry.cli.edge_diagnose import check, check_list, support_bundle, version, why
from skerry.cli.edge_directory import directory
from skerry.cli.edge_identity import identity_options, source_from, taken
from skerry.cli.edge_system import system
from skerry.cli.management import API_VERSION, checked, get_json, management
from skerry.clock import SystemClock
from skerry.edge import process
from skerry.edge.agent.registry_map import check as check_registry_map
from skerry.edge.daemon.identity_source import Dps, Source
from skerry.edge.daemon.iotedge_config import read_iotedge_config
from skerry.edge.daemon.provisioning import Provisioned, own_settings, read_settings
from skerry.edge.daemon.provisioning import provision as write_identity
from skerry.service.log import configure

TYPED = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
# The year that stands for "not yet" in Microsoft's module status.
NEVER = "0001-"

as_json = click.option("--output", "form", type=click.Choice(["table", "json"]), default="table")


@click.group()
def edge() -> None:
    """Run a device: identity, modules, local messages."""


@edge.command()
@directory
@identity_options
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Azure IoT Edge's config.toml, instead of a connection string; other options win over it.",
)
@click.option("--hostname", help="Name by which modules reach this device; default: this machine's name.")
@click.option("--hub-address", help="Connect here instead of to the HostName of the connection string.")
@click.option("--hub-mqtt-port", type=int, default=8883, show_default=True)
@click.option("--hub-https-port", type=int, default=443, show_default=True)
@click.option("--hub-ca", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--listen", help="Listen at this address only; default: loopback and the module network.")
@click.option("--mqtt-port", type=int, default=8883, show_default=True, help="Port modules connect to.")
@click.option("--https-port", type=int, default=443, show_default=True, help="For module calls; -1: off.")
@click.option("--engine", type=click.Choice(["auto", "docker", "process"]), default="auto", show_default=True)
@click.option("--images", type=click.Path(path_type=Path, file_okay=False), help="Folder of OCI layouts.")
@click.option("--container-prefix", help="Goes before the names of this device's containers.")
@click.option("--network", help="Docker network of the modules; default: azure-iot-edge.")
@click.option(
    "--registry-map",
    multiple=True,
    metavar="FROM=TO",
    help="Take images whose reference begins with FROM from TO; may be given again.",
)
@click.option("--force", is_flag=True, help="Replace another identity that is in the folder.")
@click.pass_context
def provision(
    context: click.Context,
    /,
    data_dir: Path,
    config: Path | None,
    hub_ca: Path | None,
    force: bool,
    registry_map: tuple[str, ...],
    **given: Any,
) -> None:
    """Write the device's identity and settings; needs no network."""
    source = source_from(**taken(given))
    if (source is None) == (config is None):
        raise click.UsageError("give --config, or what the device's identity is or comes from")
    images = given.pop("images")
    options = {name: value for name, value in given.items() if value is not None}
    if registry_map:
        options["registry_map"] = _registry_map(registry_map)
    if images is not None:
        options["images_dir"] = images.absolute()
    if config is not None:
        imported = read_iotedge_config(config)
        # A value somebody typed wins over the file's, the file's over a default.
        typed = {n: v for n, v in options.items() if context.get_parameter_source(n) in TYPED}
        options = {**options, **imported.options, **typed}
        hub_ca, source = hub_ca or imported.hub_ca, imported.source
        for name in imported.unused:
            output.note(f"{config}: {name} is not needed here")
    assert source is not None
    done = write_identity(data_dir, source, hub_ca=hub_ca, force=force, options=options)
    output.say(f"{whom(done, source)} provisioned in {data_dir}")
    output.say(f"next: skerry edge run --dir {data_dir}")


def whom(done: Provisioned, source: Source) -> str:
    """Who a device is, or whom it will ask."""
    if done.identity is not None:
        return f"{done.identity.client_id} at {done.hub}"
    assert isinstance(source, Dps)
    return f"registration {source.name.registration_id} of {source.endpoint}"


def _registry_map(entries: tuple[str, ...]) -> dict[str, str]:
    found = dict(entry.partition("=")[::2] for entry in entries)
    check_registry_map(found)
    return found


edge.add_command(system)
for command in (why, check, check_list, support_bundle, version):
    edge.add_command(command)


@edge.group()
def config() -> None:
    """Settings from elsewhere."""


@config.command()
@directory
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default="/etc/aziot/config.toml")
@click.option("--force", is_flag=True, help="Replace another identity that is in the folder.")
def apply(data_dir: Path, file: Path, force: bool) -> None:
    """Take over what changed in a config.toml; settings it does not name stay as they are."""
    imported = read_iotedge_config(file)
    present = own_settings(read_settings(data_dir, {}))
    done = write_identity(
        data_dir,
        imported.source,
        hub_ca=imported.hub_ca,
        force=force,
        options={**present, **imported.options},
    )
    for name in imported.unused:
        output.note(f"{file}: {name} is not needed here")
    output.say(
        f"{whom(done, imported.source)} applied in {data_dir}; a runtime that runs has to be restarted"
    )


@config.command(name="import")
@directory
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default="/etc/aziot/config.toml")
@click.option("--force", is_flag=True, help="Replace another identity that is in the folder.")
@click.pass_context
def import_config(context: click.Context, data_dir: Path, file: Path, force: bool) -> None:
    """Take over the config.toml of an Azure IoT Edge that ran here."""
    context.invoke(provision, data_dir=data_dir, config=file, force=force, images=None, registry_map=())


@edge.command()
@directory
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@click.option("--log-json", is_flag=True)
def run(data_dir: Path, log_level: str, log_json: bool) -> None:
    """Run daemon, agent and edge hub until SIGTERM."""
    settings = read_settings(data_dir)
    configure(log_level, json=log_json)
    process.main(settings)


@edge.command(name="list")
@directory
@as_json
def list_modules(data_dir: Path, form: str) -> None:
    """The modules of this device and their state."""
    modules = asyncio.run(get_json(data_dir, "/modules"))["modules"]
    if form == "json":
        output.dump(modules)
        return
    rows = [
        (
            module["name"],
            module["status"]["runtimeStatus"]["status"],
            _describe(module["status"]),
            module["config"]["settings"]["image"],
        )
        for module in sorted(modules, key=lambda one: str(one["name"]))
    ]
    output.say(output.table(["NAME", "STATUS", "DESCRIPTION", "CONFIG"], rows))


@edge.command()
@directory
def status(data_dir: Path) -> None:
    """What the runtime knows of itself, as JSON: link to the hub, queues, counters."""
    output.dump(asyncio.run(get_json(data_dir, "/status")))


@edge.command()
@directory
@click.argument("module")
@click.option("--tail", default="all", show_default=True)
@click.option("--since", help='Only what came after this: "10m", "1 day" or a time.')
@click.option("--until", help="Only what came before this.")
@click.option("-f", "--follow", is_flag=True)
def logs(data_dir: Path, module: str, tail: str, since: str | None, until: str | None, follow: bool) -> None:
    """The log of a module."""

    async def show() -> None:
        query = {"api-version": API_VERSION, "tail": tail, "follow": str(follow).lower()}
        query |= {name: value for name, value in (("since", since), ("until", until)) if value is not None}
        async with (
            management(data_dir, timeout=None) as client,
            client.stream("GET", f"/modules/{module}/logs", params=query) as answer,
        ):
            await checked(answer)
            async for line in answer.aiter_lines():
                output.raw(line.encode())

    asyncio.run(show())


@edge.command()
@directory
@click.argument("module")
def restart(data_dir: Path, module: str) -> None:
    """Stop a module and start it again."""

    async def ask() -> None:
        async with management(data_dir) as client:
            await checked(
                await client.post(f"/modules/{module}/restart", params={"api-version": API_VERSION})
            )

    asyncio.run(ask())
    output.say(module)


def _describe(status: dict[str, Any]) -> str:
    """``Up 5 minutes``, ``Stopped 2 minutes ago``, ``Failed (1) 10 seconds ago``, as ``iotedge list``."""
    state, ended = status["runtimeStatus"]["status"], status.get("exitStatus") or {}
    if state == "running":
        return f"Up {_ago(status.get('startTime'))}"
    if not ended or str(ended.get("exitTime") or NEVER).startswith(NEVER):
        return str(status["runtimeStatus"].get("description") or state.capitalize())
    code = int(ended.get("statusCode") or 0)
    word = "Stopped" if code == 0 else f"Failed ({code})"
    return f"{word} {_ago(ended.get('exitTime'))} ago"


def _ago(moment: str | None) -> str:
    if not moment:
        return "an unknown time"
    seconds = (SystemClock().now() - datetime.fromisoformat(moment).astimezone(UTC)).total_seconds()
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {name}{'s' if count > 1 else ''}"
    count = max(0, int(seconds))
    return f"{count} second{'' if count == 1 else 's'}"
