"""Options by which an enrolment is made for certificates instead of keys, named as ``az iot dps`` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from skerry.contract.attestation import AUTHORITY, CLIENT, SIGNING
from skerry.errors import InvalidInput, NotFound

F = TypeVar("F", bound=Callable[..., Any])
pem = click.Path(path_type=Path, dir_okay=False)


def certificate_options(command: F) -> F:
    """``--certificate-path``, ``--secondary-certificate-path`` and ``--ca-name``."""
    for option in (
        click.option("--ca-name", help="An authority of skerry certificate, instead of a file."),
        click.option("--secondary-certificate-path", type=pem, help="The next one, for rolling over."),
        click.option("--certificate-path", type=pem, help="PEM: the device's, or the authority of a group."),
    ):
        command = option(command)
    return command


def attestation(
    group: bool, primary: Path | None, secondary: Path | None, authority: str | None
) -> dict[str, Any]:
    """The attestation of an enrolment document; by fresh keys when nothing is given."""
    if authority is not None:
        if primary is not None or secondary is not None:
            raise InvalidInput("give --ca-name or --certificate-path, not both", field="ca_name")
        return {"type": "x509", "x509": {AUTHORITY: {"primary": authority}}}
    if primary is None:
        if secondary is not None:
            raise InvalidInput("give --certificate-path too", field="certificate_path")
        return {"type": "symmetricKey"}
    pair = {"primary": {"certificate": _read(primary)}}
    if secondary is not None:
        pair["secondary"] = {"certificate": _read(secondary)}
    return {"type": "x509", "x509": {SIGNING if group else CLIENT: pair}}


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"cannot read {file}", hint="give a PEM file", path=str(file)) from error
