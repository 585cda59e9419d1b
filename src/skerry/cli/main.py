"""The ``skerry`` command: parses arguments and leaves the rest to the parts."""

from __future__ import annotations

import sys
from pathlib import Path

import click

import skerry
from skerry.cli import output
from skerry.cli.demo.command import demo
from skerry.cli.deploy import deploy
from skerry.cli.device import device
from skerry.cli.edge import edge
from skerry.cli.hub import hub
from skerry.cli.method import method
from skerry.cli.model import model
from skerry.cli.twin import twin
from skerry.errors import SkerryError
from skerry.store.faults import translate_os


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(skerry.__version__, prog_name="skerry")
def skerry_command() -> None:
    """Take a trained Keras CNN to edge devices and keep it predicting there, with or without a network."""


for command in (demo, model, hub, device, edge, deploy, twin, method):
    skerry_command.add_command(command)


def main() -> None:
    """Entry point: our errors become a message, a hint and a documented exit code."""
    try:
        skerry_command.main(standalone_mode=False)
    except SkerryError as error:
        sys.exit(output.fail(error))
    except OSError as error:
        # What no part foresaw: a folder that may not be written, a disk that is full.
        sys.exit(output.fail(translate_os(error, Path(str(error.filename or "a file")))))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        output.note("interrupted")
        sys.exit(output.EXIT_INTERRUPTED)
