"""``skerry hub backup`` and ``skerry hub restore``."""

from __future__ import annotations

from pathlib import Path

import click

from skerry.cli import output
from skerry.cli.login import DEFAULT_HUB_DIR
from skerry.clock import SystemClock
from skerry.hub.backup import back_up
from skerry.hub.backup import restore as restore_from

directory = click.option(
    "--dir",
    "data_dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SKERRY_HUB_DIR",
    default=DEFAULT_HUB_DIR,
    show_default=True,
    help="The hub's data folder.",
)


@click.command()
@directory
@click.argument("folder", type=click.Path(path_type=Path))
def backup(data_dir: Path, folder: Path) -> None:
    """Copy a hub, running or not, into a new folder. The copy holds its keys: keep it as safe as the hub."""
    done = back_up(data_dir, folder, SystemClock())
    output.say(f"{folder}: {done.files} files, {done.size} bytes, as of {done.time}")
    if done.vanished:
        output.note(f"{done.vanished} files were removed at the hub meanwhile and are not in it")


@click.command()
@directory
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def restore(data_dir: Path, folder: Path) -> None:
    """Make a hub's data folder from a copy, every file checked; the folder must be new or empty."""
    done = restore_from(folder, data_dir)
    output.say(f"{data_dir}: {done.files} files, {done.size} bytes, as of {done.time}")
