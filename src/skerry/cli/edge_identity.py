"""The options by which a device is told who it is, or who tells it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from skerry.cli.login import secret_from
from skerry.contract.credentials import ConnectionString
from skerry.contract.names import DeviceId
from skerry.contract.provisioning import derived_key
from skerry.edge.daemon.identity_source import GLOBAL_ENDPOINT, Certificate, Dps, Manual, Source, registration
from skerry.edge.daemon.iotedge_provisioning import certificate_from
from skerry.service.files import read_private

F = TypeVar("F", bound=Callable[..., Any])
pem = click.Path(path_type=Path, dir_okay=False)
# What ``identity_options`` adds, for whoever takes them out of a command's other options.
NAMES = (
    "connection_string_file",
    "iothub_hostname",
    "device_id",
    "key_file",
    "identity_cert",
    "identity_key",
    "dps_endpoint",
    "id_scope",
    "registration_id",
    "group_key_file",
)


def identity_options(command: F) -> F:
    """A connection string; or its parts; or a provisioning service. Secrets come in files."""
    for option in (
        click.option("--group-key-file", type=pem, help="The key of its enrollment group, not kept here."),
        click.option("--registration-id", help="Its id there; default: the name in its certificate."),
        click.option("--id-scope", help="Scope of the provisioning service."),
        click.option("--dps-endpoint", default=GLOBAL_ENDPOINT, show_default=True),
        click.option("--identity-key", type=pem, help="PEM: the private key of the certificate."),
        click.option("--identity-cert", type=pem, help="PEM: the certificate with its chain."),
        click.option("--key-file", type=pem, help="The device's symmetric key, base64."),
        click.option("--device-id", help="Its id at the hub."),
        click.option("--iothub-hostname", help="Its hub, where no connection string says it."),
        click.option(
            "--connection-string-file",
            help="File with the device's connection string; - reads standard input.",
        ),
    ):
        command = option(command)
    return command


def taken(given: dict[str, Any]) -> dict[str, Any]:
    """The identity options out of all, which lose them."""
    return {name: given.pop(name, None) for name in NAMES}


def source_from(
    connection_string_file: str | None,
    iothub_hostname: str | None,
    device_id: str | None,
    key_file: Path | None,
    identity_cert: Path | None,
    identity_key: Path | None,
    dps_endpoint: str | None,
    id_scope: str | None,
    registration_id: str | None,
    group_key_file: Path | None,
) -> Source | None:
    """What the options say; None when they say nothing. UsageError when they do not go together."""
    if (identity_cert is None) != (identity_key is None):
        raise click.UsageError("--identity-cert and --identity-key go together")
    ways = [connection_string_file is not None, iothub_hostname is not None, id_scope is not None]
    if sum(ways) > 1:
        raise click.UsageError("give one of --connection-string-file, --iothub-hostname and --id-scope")
    certificate = certificate_from(identity_cert, identity_key) if identity_cert and identity_key else None
    if connection_string_file is not None:
        return Manual(ConnectionString.parse(secret_from(connection_string_file)), certificate)
    if iothub_hostname is not None:
        if device_id is None or (key_file is None) == (certificate is None):
            raise click.UsageError(
                "--iothub-hostname needs --device-id and one of --key-file and --identity-cert"
            )
        key = _key(key_file) if key_file is not None else None
        device = DeviceId(device_id)
        connection = ConnectionString(iothub_hostname, device, shared_access_key=key, x509=key is None)
        return Manual(connection, certificate)
    if id_scope is not None:
        key_files = (key_file, group_key_file)
        return _dps(dps_endpoint or GLOBAL_ENDPOINT, id_scope, registration_id, key_files, certificate)
    return None


def _dps(
    endpoint: str,
    id_scope: str,
    registration_id: str | None,
    key_files: tuple[Path | None, Path | None],
    certificate: Certificate | None,
) -> Dps:
    own, group = key_files
    if sum(proof is not None for proof in (own, group, certificate)) != 1:
        raise click.UsageError("--id-scope needs one of --key-file, --group-key-file and --identity-cert")
    if registration_id is None:
        if certificate is None:
            raise click.UsageError("--id-scope needs --registration-id")
        registration_id = certificate.name
    name = registration(id_scope, registration_id)
    key = _key(own) if own is not None else None
    if group is not None:
        key = derived_key(_key(group), name.registration_id)
    return Dps(name, endpoint, key, certificate)


def _key(file: Path) -> str:
    return read_private(file).decode(errors="replace").strip()
