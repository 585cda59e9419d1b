"""The ``skerry`` command: parses arguments and leaves the rest to the parts."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import click

import skerry
from skerry.cli import output
from skerry.errors import SkerryError, Unsupported
from skerry.store.faults import translate_os

# Name → module below skerry.cli, what it does. A command is imported when it is run: a device that has the
# packages of skerry[edge] only can be run, and none of them waits for the packages of another.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "camera": ("camera", "Make the module that takes pictures of a folder, a video, a camera, a stream."),
    "certificate": (
        "certificate",
        "Upload and prove the authorities that devices' certificates come from.",
    ),
    "completion": ("completion", "Print the script that lets a shell complete these commands."),
    "demo": ("demo.command", "Show the whole path: build, provision, deploy, predict, also offline."),
    "deploy": ("deploy", "Deploy modules and see them run."),
    "device": ("device", "Create, list and remove device identities."),
    "edge": ("edge", "Run a device: identity, modules, local messages."),
    "enrollment": ("enrollment", "Enrol devices, so that they find their hub and identity on their own."),
    "events": ("events", "Export events, keep consumer groups, send events on to web addresses."),
    "hub": ("hub", "Run a hub and read its events."),
    "lint": (
        "lint",
        "Say what an IoT Hub of Azure would refuse, and why; exit code 1 when it would refuse something.",
    ),
    "method": ("method", "Invoke direct methods."),
    "model": ("model", "Build a trained Keras model into a package and an image."),
    "profile": ("profile", "Name the hubs you work with."),
    "twin": ("twin", "Read and change twins."),
    "uploads": ("uploads", "List, fetch and delete the files that devices uploaded."),
}


class Commands(click.Group):
    """The commands of COMMANDS, imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        try:
            module = import_module(f"skerry.cli.{COMMANDS[cmd_name][0]}")
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package == "skerry":
                raise
            raise Unsupported(
                f"skerry {cmd_name} needs the package {package}, which is not installed here",
                hint="pip install 'skerry[all]', or the extra of this role",
                package=package,
            ) from error
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, what) for name, (_, what) in sorted(COMMANDS.items())])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(skerry.__version__, prog_name="skerry")
def skerry_command() -> None:
    """Take a trained Keras CNN to edge devices and keep it predicting there, with or without a network."""


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
