"""Which hub a command talks to, and as whom."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from skerry.cli.profiles import Profiles
from skerry.errors import InvalidInput
from skerry.hub.certificates import ca_file
from skerry.hub.client import ServiceClient
from skerry.hub.setup import connection_string

F = TypeVar("F", bound=Callable[..., Any])

# Where the context of a command keeps which profile it was given.
PROFILE = "skerry.profile"
DEFAULT_HUB_DIR = Path("skerry-hub")
CONNECTION_VARIABLE = "SKERRY_HUB_CONNECTION_STRING"


def hub_options(command: F) -> F:
    """``--hub-dir`` (a hub on this machine) or a connection string from the environment, and the hub's CA.

    A connection string holds a key, so it is never taken from the command line.
    """
    for option in (
        click.option(
            "--profile",
            envvar="SKERRY_PROFILE",
            expose_value=False,
            callback=_remember_profile,
            help="Name of a hub kept by skerry profile add.",
        ),
        click.option(
            "--hub-ca",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            envvar="SKERRY_HUB_CA",
            help="PEM file of the CA that signed the hub's certificate.",
        ),
        click.option("--hub-port", type=int, envvar="SKERRY_HUB_PORT", default=443, show_default=True),
        click.option(
            "--hub-dir",
            type=click.Path(path_type=Path, file_okay=False),
            envvar="SKERRY_HUB_DIR",
            help=f"Data folder of a hub on this machine; otherwise ${CONNECTION_VARIABLE} is used.",
        ),
    ):
        command = option(command)
    return command


def _remember_profile(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    context.meta[PROFILE] = value


def service_client(hub_dir: Path | None, hub_port: int, hub_ca: Path | None) -> ServiceClient:
    """A client of the profile named; else with the rights of ``iothubowner`` of a hub on this machine, of the
    connection string in the environment, or of the profile in use.
    """
    context = click.get_current_context(silent=True)
    named = None if context is None else context.meta.get(PROFILE)
    if named is not None and hub_dir is not None:
        raise InvalidInput("--profile and --hub-dir name two hubs", hint="give one of them")
    text = os.environ.get(CONNECTION_VARIABLE, "")
    profiles = Profiles.of_user(os.environ)
    if hub_dir is None and (named or not text) and (name := named or profiles.current):
        profile = profiles.get(name)
        return ServiceClient(profile.connection_string, https_port=profile.port, ca_pem=profile.ca_pem)
    if hub_dir is None and not text:
        hub_dir = DEFAULT_HUB_DIR
    if hub_dir is not None:
        text = connection_string(hub_dir, "iothubowner")
        hub_ca = hub_ca or ca_file(hub_dir)
    ca_pem = None if hub_ca is None else text_of(hub_ca, "give the hub's ca/ca.pem")
    return ServiceClient(text, https_port=hub_port, ca_pem=ca_pem)


def secret_from(source: str) -> str:
    """A secret out of a file, or from standard input when ``source`` is ``-``."""
    if source == "-":
        return sys.stdin.readline().strip()
    return text_of(Path(source), "give a file, or - for standard input").strip()


def text_of(path: Path, hint: str) -> str:
    """The text of a file the user named; InvalidInput."""
    try:
        return path.read_text()
    except OSError as exc:
        raise InvalidInput(f"cannot read {path}: {exc.strerror}", hint=hint) from exc
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"cannot read {path}: it is not text", hint=hint) from exc
