"""Gives a device its identity: writes where it comes from, with the settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from skerry.clock import EARLIEST, Clock, ManualClock, SystemClock
from skerry.contract.credentials import ConnectionString
from skerry.contract.names import Identity
from skerry.edge.daemon.identity_source import (
    Manual,
    Source,
    read_certificate_files,
    read_dps,
    write_source,
)
from skerry.edge.settings import CONFIG_FILE, HUB_CA_FILE, EdgeSettings
from skerry.errors import AlreadyExists, InvalidInput, NotFound
from skerry.service.certificates import Authority
from skerry.service.files import read_private, write_atomic
from skerry.service.settings import load

CA_COMMON_NAME = "Skerry edge CA"


@dataclass(frozen=True)
class Provisioned:
    """What a data directory now is; ``identity`` None: its provisioning service is still to say."""

    data_dir: Path
    identity: Identity | None
    hub: str
    settings: EdgeSettings


def provision(
    data_dir: Path,
    source: Source | str,
    *,
    hub_ca: Path | None = None,
    force: bool = False,
    clock: Clock | None = None,
    options: Mapping[str, Any] | None = None,
) -> Provisioned:
    """Write identity, settings and the device's own CA below ``data_dir``; needs no network.

    ``source`` may be a device's connection string. ``options`` are EdgeSettings fields. ``hub_ca`` is copied.
    Raises InvalidInput (not a device's connection string, unknown option), AlreadyExists (another identity is
    there and not ``force``).
    """
    if isinstance(source, str):
        source = Manual(ConnectionString.parse(source.strip()))
    data_dir = data_dir.absolute()
    settings = _settings(data_dir, options or {})
    if not force:
        _refuse_another(data_dir, source)
    data_dir.mkdir(parents=True, exist_ok=True)
    data_dir.chmod(0o700)
    if hub_ca is not None:
        write_atomic(data_dir / HUB_CA_FILE, _read_pem(hub_ca).encode())
    _ensure_authority(settings, clock or SystemClock())
    write_atomic(data_dir / CONFIG_FILE, _toml(settings).encode())
    # Last: a data directory with an identity, or with who gives it one, is complete.
    write_source(settings, source)
    identity, hub = _already(source)
    return Provisioned(data_dir, identity, hub, read_settings(data_dir))


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


def own_settings(settings: EdgeSettings) -> dict[str, Any]:
    """What is set in a data directory, as options of ``provision``."""
    return {
        field.name: getattr(settings, field.name)
        for field in fields(EdgeSettings)
        if field.name not in ("data_dir", "hub_ca")
    }


def read_connection(settings: EdgeSettings) -> ConnectionString:
    """The device's identity at its hub.

    Raises NotFound when the data directory has none (yet), NotAllowed when others may read its key.
    """
    try:
        text = read_private(settings.connection_string_file).decode(errors="replace")
    except NotFound as error:
        raise NotFound(
            f"{settings.data_dir} has no identity",
            hint="run: skerry edge provision",
            path=str(settings.data_dir),
        ) from error
    connection = ConnectionString.parse(text.strip())
    certificate = read_certificate_files(settings) if connection.x509 else None
    return Manual(connection, certificate).connection


def _settings(data_dir: Path, options: Mapping[str, Any]) -> EdgeSettings:
    known = {field.name for field in fields(EdgeSettings)}
    for name in options:
        if name not in known:
            raise InvalidInput(f"there is no edge setting called {name!r}", field=name)
    return EdgeSettings(**{**options, "data_dir": data_dir})


def _already(source: Source) -> tuple[Identity | None, str]:
    """Who the device is and at which hub, if that is known."""
    if isinstance(source, Manual):
        return source.connection.identity, source.connection.host_name
    return None, ""


def _refuse_another(data_dir: Path, source: Source) -> None:
    """Raise AlreadyExists when the folder belongs to another device."""
    settings = EdgeSettings(data_dir)
    service = read_dps(settings)
    if service is not None:
        if not isinstance(source, Manual) and source.name == service.name:
            return
        raise _taken(data_dir, f"{service.name.registration_id} of {service.endpoint}")
    if not settings.connection_string_file.exists():
        return
    text = settings.connection_string_file.read_text().strip()
    present = ConnectionString.parse(text)
    if isinstance(source, Manual):
        mine = source.connection
        if (present.host_name.lower(), present.identity) == (mine.host_name.lower(), mine.identity):
            return
    raise _taken(data_dir, f"{present.identity.client_id} at {present.host_name}")


def _taken(data_dir: Path, whose: str) -> AlreadyExists:
    return AlreadyExists(
        f"{data_dir} belongs to {whose}",
        hint="use another data directory, or --force to give this one a new identity",
        device=whose,
    )


def _ensure_authority(settings: EdgeSettings, clock: Clock) -> None:
    if not settings.ca_directory.exists():
        # Made by a clock that stands in 1970 it would have ended before anybody saw it.
        since = ManualClock(max(clock.now(), EARLIEST))
        Authority.create(CA_COMMON_NAME, since, not_before=EARLIEST).save(settings.ca_directory)


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
