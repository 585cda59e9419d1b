"""``skerry profile``: the hubs an operator works with, by name."""

from __future__ import annotations

import os
from pathlib import Path

import click

from skerry.cli import output
from skerry.cli.login import secret_from
from skerry.cli.profiles import Profile, Profiles
from skerry.contract.credentials import ConnectionString
from skerry.errors import InvalidInput
from skerry.hub.certificates import ca_file
from skerry.hub.setup import connection_string


@click.group()
def profile() -> None:
    """Name the hubs you work with."""


@profile.command()
@click.argument("name")
@click.option(
    "--connection-string-file",
    help="File with a service connection string; - reads standard input. Or use --hub-dir.",
)
@click.option(
    "--hub-dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Data folder of a hub on this machine: its owner's connection string and root are copied.",
)
@click.option("--hub-port", type=int, default=443, show_default=True)
@click.option(
    "--hub-ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="PEM file of the CA that signed the hub's certificate.",
)
@click.option("--force", is_flag=True, help="Replace a profile of this name.")
def add(
    name: str,
    connection_string_file: str | None,
    hub_dir: Path | None,
    hub_port: int,
    hub_ca: Path | None,
    force: bool,
) -> None:
    """Keep a hub under a name; the first one is used from then on."""
    if (connection_string_file is None) == (hub_dir is None):
        raise click.UsageError("give one of --connection-string-file and --hub-dir")
    if hub_dir is not None:
        text, hub_ca = connection_string(hub_dir, "iothubowner"), hub_ca or ca_file(hub_dir)
    else:
        text = secret_from(connection_string_file or "")
    if ConnectionString.parse(text).shared_access_key_name is None:
        raise InvalidInput(
            "this is a device's connection string", hint="take a service's: it names a SharedAccessKeyName"
        )
    found = Profile(name, text, hub_port, None if hub_ca is None else hub_ca.read_text())
    profiles = Profiles.of_user(os.environ)
    profiles.add(found, replace=force)
    output.say(f"{name}: {found.host} as {found.policy}{', in use' if profiles.current == name else ''}")


@profile.command(name="list")
@click.option("--output", "form", type=click.Choice(["table", "json"]), default="table")
def list_profiles(form: str) -> None:
    """The profiles there are; * marks the one in use."""
    profiles = Profiles.of_user(os.environ)
    found = [profiles.get(name) for name in profiles.names()]
    if form == "json":
        output.dump(
            [
                {
                    "name": one.name,
                    "host": one.host,
                    "policy": one.policy,
                    "port": one.port,
                    "current": one.name == profiles.current,
                }
                for one in found
            ]
        )
        return
    rows = [
        ("*" if one.name == profiles.current else "", one.name, one.host, str(one.port), one.policy)
        for one in found
    ]
    output.say(output.table(["", "NAME", "HUB", "PORT", "POLICY"], rows))


@profile.command()
@click.argument("name")
def use(name: str) -> None:
    """Use this hub from now on."""
    Profiles.of_user(os.environ).use(name)
    output.say(name)


@profile.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget a hub; nothing happens to the hub itself."""
    Profiles.of_user(os.environ).remove(name)
    output.say(name)
