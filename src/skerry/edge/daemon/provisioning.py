"""Gives a device its identity: checks a connection string and writes it with the settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from skerry.clock import Clock, SystemClock
from skerry.contract.credentials import ConnectionString, key_signer
from skerry.contract.names import Identity
from skerry.edge.settings import CONFIG_FILE, HUB_CA_FILE, EdgeSettings
from skerry.errors import AlreadyExists, InvalidInput, NotFound
from skerry.service.certificates import Authority
from skerry.service.files import PRIVATE, write_atomic
from skerry.service.settings import load

CA_COMMON_NAME = "Skerry edge CA"


@dataclass(frozen=True)
class Provisioned:
    """What a data directory now is."""

    data_dir: Path
    identity: Identity
    hub: str
    settings: EdgeSettings


def provision(
    data_dir: Path,
    connection_string: str,
    *,
    hub_ca: Path | None = None,
    force: bool = False,
    clock: Clock | None = None,
    options: Mapping[str, Any] | None = None,
) -> Provisioned:
    """Write identity, settings and the device's own CA below ``data_dir``; needs no network.

    ``options`` are EdgeSettings fields. ``hub_ca`` is copied. Raises InvalidInput (not a device's connection
    string, unknown option), AlreadyExists (another identity is there and not ``force``).
    """
    connection = checked(connection_string)
    data_dir = data_dir.absolute()
    settings = _settings(data_dir, options or {})
    _refuse_another(data_dir, connection, force)
    data_dir.mkdir(parents=True, exist_ok=True)
    data_dir.chmod(0o700)
    if hub_ca is not None:
        write_atomic(data_dir / HUB_CA_FILE, _read_pem(hub_ca).encode())
    _ensure_authority(settings, clock or SystemClock())
    write_atomic(data_dir / CONFIG_FILE, _toml(settings).encode())
    # Last: a data directory with a connection string is a complete one.
    write_atomic(settings.connection_string_file, connection.render().encode(), mode=PRIVATE)
    return Provisioned(data_dir, connection.identity, connection.host_name, read_settings(data_dir))


def checked(text: str) -> ConnectionString:
    """The connection string, if a device with a symmetric key can be run with it."""
    connection = ConnectionString.parse(text.strip())
    identity = connection.identity
    if identity.module is not None:
        raise InvalidInput(
            "this is a module's connection string", hint="take the one of the edge device itself"
        )
    if connection.shared_access_key is None:
        raise InvalidInput("the connection string has no SharedAccessKey", field="SharedAccessKey")
    key_signer(connection.shared_access_key)
    return connection


def read_settings(data_dir: Path, environ: Mapping[str, str] | None = None) -> EdgeSettings:
    """The settings in ``data_dir``; variables SKERRY_EDGE_* win. NotFound when not provisioned."""
    data_dir = data_dir.absolute()
    config = data_dir / CONFIG_FILE
    if not config.exists():
        raise NotFound(
            f"{data_dir} is not provisioned", hint="run: skerry edge provision", path=str(data_dir)
        )
    return load(
        EdgeSettings,
        config,
        {**(os.environ if environ is None else environ), "SKERRY_EDGE_DATA_DIR": str(data_dir)},
        "SKERRY_EDGE",
    )


def read_connection(settings: EdgeSettings) -> ConnectionString:
    """The device's connection string. NotFound when the data directory is not provisioned."""
    try:
        text = settings.connection_string_file.read_text()
    except FileNotFoundError as error:
        raise NotFound(
            f"{settings.data_dir} has no identity",
            hint="run: skerry edge provision",
            path=str(settings.data_dir),
        ) from error
    return checked(text)


def _settings(data_dir: Path, options: Mapping[str, Any]) -> EdgeSettings:
    known = {field.name for field in fields(EdgeSettings)}
    for name in options:
        if name not in known:
            raise InvalidInput(f"there is no edge setting called {name!r}", field=name)
    return EdgeSettings(**{**options, "data_dir": data_dir})


def _refuse_another(data_dir: Path, connection: ConnectionString, force: bool) -> None:
    file = EdgeSettings(data_dir).connection_string_file
    if force or not file.exists():
        return
    present = ConnectionString.parse(file.read_text().strip())
    mine = (present.host_name.lower(), present.identity)
    if mine != (connection.host_name.lower(), connection.identity):
        raise AlreadyExists(
            f"{data_dir} belongs to {present.identity.client_id} at {present.host_name}",
            hint="use another data directory, or --force to give this one a new identity",
            device=present.identity.client_id,
        )


def _ensure_authority(settings: EdgeSettings, clock: Clock) -> None:
    if not settings.ca_directory.exists():
        Authority.create(CA_COMMON_NAME, clock).save(settings.ca_directory)


def _read_pem(path: Path) -> str:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read the hub's CA from {path}", field="hub_ca") from error
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise InvalidInput(f"{path} holds no PEM certificate", field="hub_ca")
    return text


def _toml(settings: EdgeSettings) -> str:
    lines = ["# Written by skerry edge provision; the connection string is in a file of its own."]
    for field in fields(EdgeSettings):
        value = getattr(settings, field.name)
        if field.name in ("data_dir", "hub_ca", "registry_map") or value is None:
            continue
        lines.append(f"{field.name} = {_toml_value(value)}")
    if settings.hub_ca is not None or (settings.data_dir / HUB_CA_FILE).exists():
        lines.append(f"hub_ca = {_toml_value(settings.hub_ca or settings.data_dir / HUB_CA_FILE)}")
    if settings.registry_map:
        lines += ["", "[registry_map]"]
        lines += [f"{_toml_value(a)} = {_toml_value(b)}" for a, b in sorted(settings.registry_map.items())]
    return "\n".join(lines) + "\n"


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_toml_value(one) for one in value)}]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
