"""Where a device's identity comes from: given once, or asked of a provisioning service."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from skerry.contract.credentials import ConnectionString, key_signer
from skerry.contract.provisioning import ProvisioningName, provisioning_name
from skerry.edge.settings import EdgeSettings
from skerry.errors import Damaged, InvalidInput, NotAuthenticated, SkerryError
from skerry.service.certificate_chain import common_name, read_certificate
from skerry.service.files import PRIVATE, read_private, write_atomic

GLOBAL_ENDPOINT = "https://global.azure-devices-provisioning.net"
DPS_API_VERSION = "2021-06-01"
# As Azure IoT Edge: ask again only when the hub refuses the device, or at every start too.
ON_ERROR, ALWAYS, DYNAMIC = "OnErrorOnly", "AlwaysOnStartup", "Dynamic"
REPROVISIONING_MODES = (DYNAMIC, ALWAYS, ON_ERROR)
_DPS_FILE, _DPS_KEY_FILE = "dps.json", "dps-key"


@dataclass(frozen=True, slots=True)
class Certificate:
    """The device's certificate with its chain, and the key (both PEM)."""

    chain_pem: str
    key_pem: str = field(repr=False)

    def __post_init__(self) -> None:
        leaf = read_certificate(self.chain_pem, "identity_cert")
        try:
            key = load_pem_private_key(self.key_pem.encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidInput(
                "this is no private key that can be used here",
                hint="PEM without a passphrase",
                field="identity_pk",
            ) from error
        if key.public_key() != leaf.public_key():
            raise InvalidInput("certificate and key do not belong together", field="identity_pk")

    @property
    def name(self) -> str:
        """Whom it is for."""
        return common_name(read_certificate(self.chain_pem, "identity_cert"))


@dataclass(frozen=True, slots=True)
class Manual:
    """Given once: which hub, as whom, and with what."""

    connection: ConnectionString
    certificate: Certificate | None = None

    def __post_init__(self) -> None:
        if self.connection.identity.module is not None:
            raise InvalidInput(
                "this is a module's connection string", hint="take the one of the edge device itself"
            )
        if self.connection.x509 != (self.certificate is not None):
            raise InvalidInput(
                "a certificate and x509=true go together", hint="give identity_cert and identity_pk"
            )
        if self.certificate is None:
            if self.connection.shared_access_key is None:
                raise InvalidInput("the connection string has no SharedAccessKey", field="SharedAccessKey")
            key_signer(self.connection.shared_access_key)


@dataclass(frozen=True, slots=True)
class Dps:
    """Asked of a provisioning service, and kept from then on; ``key`` is the device's own, base64."""

    name: ProvisioningName
    endpoint: str = GLOBAL_ENDPOINT
    key: str | None = field(default=None, repr=False)
    certificate: Certificate | None = None
    payload: Any = None
    mode: str = ON_ERROR

    def __post_init__(self) -> None:
        if not self.endpoint.startswith("https://"):
            raise InvalidInput("the provisioning service speaks https", field="global_endpoint")
        if self.mode not in REPROVISIONING_MODES:
            raise InvalidInput(
                f"auto_reprovisioning_mode is {self.mode[:40]!r}",
                hint=f"one of {', '.join(REPROVISIONING_MODES)}",
                path="auto_reprovisioning_mode",
            )
        if (self.key is None) == (self.certificate is None):
            raise InvalidInput("a registration needs a key or a certificate, one of them")
        if self.key is not None:
            key_signer(self.key)


Source = Manual | Dps


def registration(id_scope: str, registration_id: str) -> ProvisioningName:
    """Who asks a provisioning service; raises InvalidInput."""
    try:
        return provisioning_name(id_scope, registration_id, DPS_API_VERSION)
    except NotAuthenticated as error:
        raise InvalidInput(error.what, hint=error.hint, field="registration_id") from error


def write_source(settings: EdgeSettings, source: Source) -> None:
    """Keep it below the data directory; what belongs to another source goes. Secrets have mode 0600.

    Last what completes it: the connection string, or with a provisioning service its description, since the
    connection string comes from there.
    """
    folder = settings.data_dir
    before = _before(settings)
    if source.certificate is not None:
        write_atomic(settings.identity_key_file, source.certificate.key_pem.encode(), mode=PRIVATE)
        write_atomic(settings.identity_certificate_file, source.certificate.chain_pem.encode())
    else:
        settings.identity_key_file.unlink(missing_ok=True)
        settings.identity_certificate_file.unlink(missing_ok=True)
    match source:
        case Manual():
            (folder / _DPS_FILE).unlink(missing_ok=True)
            (folder / _DPS_KEY_FILE).unlink(missing_ok=True)
            write_connection(settings, source.connection)
        case Dps():
            if before is None or _asked(before) != _asked(source):
                settings.connection_string_file.unlink(missing_ok=True)
            if source.key is not None:
                write_atomic(folder / _DPS_KEY_FILE, source.key.encode(), mode=PRIVATE)
            else:
                (folder / _DPS_KEY_FILE).unlink(missing_ok=True)
            document = {
                "endpoint": source.endpoint,
                "idScope": source.name.id_scope,
                "registrationId": source.name.registration_id,
                "payload": source.payload,
                "mode": source.mode,
            }
            write_atomic(folder / _DPS_FILE, json.dumps(document, indent=2).encode() + b"\n")


def _before(settings: EdgeSettings) -> Dps | None:
    """What was kept, if that can be read: it is about to be replaced."""
    try:
        return read_dps(settings)
    except SkerryError:
        return None


def _asked(source: Dps) -> tuple[object, ...]:
    """What an assignment depends on. Not the certificate: with a new one the device stays who it was."""
    return source.name, source.endpoint, source.key


def write_connection(settings: EdgeSettings, connection: ConnectionString) -> None:
    """Keep what the device is at its hub."""
    write_atomic(settings.connection_string_file, connection.render().encode(), mode=PRIVATE)


def read_dps(settings: EdgeSettings) -> Dps | None:
    """The provisioning service this device asks, None when it was given its identity.

    Raises NotAllowed (others may read a key of it), Damaged.
    """
    try:
        document = json.loads((settings.data_dir / _DPS_FILE).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _damaged(settings) from error
    key_file = settings.data_dir / _DPS_KEY_FILE
    try:
        return Dps(
            registration(document["idScope"], document["registrationId"]),
            document["endpoint"],
            read_private(key_file).decode() if key_file.exists() else None,
            None if key_file.exists() else read_certificate_files(settings),
            document["payload"],
            document["mode"],
        )
    except (KeyError, TypeError, UnicodeDecodeError) as error:
        raise _damaged(settings) from error


def read_certificate_files(settings: EdgeSettings) -> Certificate:
    """The certificate that ``write_source`` kept; NotFound, NotAllowed, InvalidInput."""
    key = read_private(settings.identity_key_file).decode(errors="replace")
    return Certificate(_text(settings.identity_certificate_file), key)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Damaged(f"cannot read {path}", hint="provision again", path=str(path)) from error


def _damaged(settings: EdgeSettings) -> Damaged:
    file = settings.data_dir / _DPS_FILE
    return Damaged(f"{file} does not read back", hint="provision again with --force", path=str(file))
