"""``skerry hub``: run the central service, read what arrives."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from skerry.cli import output
from skerry.cli.backup import backup, restore
from skerry.cli.hub_registry import registry
from skerry.cli.login import DEFAULT_HUB_DIR, hub_options, service_client
from skerry.cli.monitor import monitor
from skerry.contract.hub_event import Source
from skerry.contract.hub_limits import PROFILES
from skerry.hub.app import HubAddresses
from skerry.hub.main import main as serve
from skerry.hub.settings import CONTAINERS_FREE_BYTES_MIN, HubSettings
from skerry.hub.setup import connection_string

SOURCES = {"twin": Source.TWIN, "lifecycle": Source.LIFECYCLE, "connection": Source.CONNECTION}

directory = click.option(
    "--dir",
    "data_dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SKERRY_HUB_DIR",
    default=DEFAULT_HUB_DIR,
    show_default=True,
    help="The hub's data folder.",
)


@click.group()
def hub() -> None:
    """Run a hub and read its events."""


hub.add_command(registry)


@hub.command()
@directory
@click.option(
    "--host-name", default="localhost", show_default=True, help="In connection strings, certificate."
)
@click.option("--name", "extra_names", multiple=True, help="A further DNS name or address of this hub.")
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--https-port", type=int, default=443, show_default=True)
@click.option("--mqtt-port", type=int, default=8883, show_default=True)
@click.option("--amqp-port", type=int, help="AMQP with TLS; 5671 beside the standard MQTT port, -1 for none.")
@click.option("--amqp-plain-port", type=int, help="AMQP without TLS, for UseDevelopmentEmulator=true (5672).")
@click.option(
    "--certificate",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PEM chain to show instead of the hub's own; taken anew when the file changes.",
)
@click.option("--certificate-key", type=click.Path(path_type=Path, dir_okay=False), help="Its private key.")
@click.option("--telemetry-keep-days", type=float, default=7.0, show_default=True, help="Older events go.")
@click.option("--telemetry-keep-messages", type=int, default=1_000_000, show_default=True)
@click.option("--telemetry-keep-bytes", type=int, default=10 * 1024**3, show_default=True)
@click.option("--uploads-keep-bytes", type=int, default=10 * 1024**3, show_default=True, help="All files.")
@click.option(
    "--profile",
    type=click.Choice([*PROFILES]),
    default="relaxed",
    show_default=True,
    help="How much to allow: as an IoT Hub of Azure, or more.",
)
@click.option(
    "--event-source",
    "event_sources",
    multiple=True,
    type=click.Choice([*SOURCES, "all"]),
    help="Put the hub's own events of this kind into the event log, too.",
)
@click.option(
    "--registry-keep-free",
    "containers_free_bytes_min",
    type=click.IntRange(min=0),
    default=CONTAINERS_FREE_BYTES_MIN,
    show_default=True,
    help="Bytes of the disk that pushed images leave free.",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@click.option("--log-json", is_flag=True)
def up(
    extra_names: tuple[str, ...],
    event_sources: tuple[str, ...],
    log_level: str,
    log_json: bool,
    **given: Any,
) -> None:
    """Start a hub and serve until SIGTERM; the first start makes its keys and certificates."""
    wanted = [*SOURCES.values()] if "all" in event_sources else [SOURCES[name] for name in event_sources]
    given["event_sources"] = tuple(wanted)
    settings = HubSettings(extra_names=extra_names, log_level=log_level, log_json=log_json, **given)

    def ready(addresses: HubAddresses) -> None:
        output.say(
            f"hub {addresses.host_name} serves {addresses.https_url} and MQTT on {addresses.mqtt_port}"
        )
        for port in filter(None, (addresses.amqp_port, addresses.amqp_plain_port)):
            output.say(f"AMQP on {port}")
        output.say(f"its CA: {addresses.ca_file}")

    serve(settings, ready)


@hub.command(name="connection-string")
@directory
@click.option("--policy", default="iothubowner", show_default=True)
def show_connection_string(data_dir: Path, policy: str) -> None:
    """Print the connection string of a policy. It holds a key."""
    output.say(connection_string(data_dir, policy))


for command in (monitor, backup, restore):
    hub.add_command(command)


@hub.command()
@hub_options
@click.option("--device", help="Only this device.")
@click.option("--output", "form", type=click.Choice(["table", "json"]), default="table")
def ledger(hub_dir: Path | None, hub_port: int, hub_ca: Path | None, device: str | None, form: str) -> None:
    """Show per sender how many messages were sent, received, lost, repeated, reordered, proven unaltered."""

    async def read() -> list[dict[str, Any]]:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            return await client.ledger(device)

    accounts = asyncio.run(read())
    if form == "json":
        output.dump(accounts)
        return
    columns = ("sent", "received", "lost", "duplicates", "reordered", "proven", "altered", "head")
    rows = [
        [_sender(account), account["epoch"], *(_shown(account[name]) for name in columns)]
        for account in accounts
    ]
    output.say(output.table(["sender", "epoch", *columns], rows))


@hub.command()
@hub_options
@click.option("--target", help="Only changes of this: a device, device/module, configuration, job …")
@click.option("--who", help='Only changes by this caller, such as "policy service".')
@click.option(
    "--top", type=click.IntRange(1, 1000), default=50, show_default=True, help="The newest so many."
)
@click.option("--output", "form", type=click.Choice(["table", "json"]), default="table")
def audit(
    hub_dir: Path | None,
    hub_port: int,
    hub_ca: Path | None,
    target: str | None,
    who: str | None,
    top: int,
    form: str,
) -> None:
    """Show who changed what, when and from where, the newest first."""
    asked = {"target": target, "who": who, "top": str(top)}

    async def read() -> list[dict[str, Any]]:
        async with service_client(hub_dir, hub_port, hub_ca) as client:
            query = {name: value for name, value in asked.items() if value is not None}
            return list(await client.call("GET", "/audit", query=query))

    entries = asyncio.run(read())
    if form == "json":
        output.dump(entries)
        return
    columns = ("time", "who", "origin", "action", "target", "detail")
    output.say(output.table(columns, [[entry[name] for name in columns] for entry in entries]))


def _shown(value: object) -> object:
    return "-" if value is None else value


def _sender(account: dict[str, Any]) -> str:
    return "/".join(filter(None, [account["deviceId"], account.get("moduleId")]))
