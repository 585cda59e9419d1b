"""The option that names a device's data folder."""

from __future__ import annotations

from pathlib import Path

import click

DEFAULT_DIR = Path("skerry-edge")

directory = click.option(
    "--dir",
    "data_dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SKERRY_EDGE_DIR",
    default=DEFAULT_DIR,
    show_default=True,
    help="The device's data folder.",
)
