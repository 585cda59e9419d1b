"""The ``[provisioning]`` section of Azure IoT Edge's ``config.toml`` as our source (contract.md §6.14)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skerry.contract.credentials import ConnectionString
from skerry.contract.names import DeviceId
from skerry.edge.daemon.identity_source import (
    GLOBAL_ENDPOINT,
    ON_ERROR,
    Certificate,
    Dps,
    Manual,
    Source,
    registration,
)
from skerry.edge.daemon.toml_table import file_of, table, text
from skerry.errors import InvalidInput, Unsupported
from skerry.service.files import read_private

KEYS: Mapping[str, Mapping[str, bool]] = {
    "provisioning": dict.fromkeys(
        (
            "source",
            "connection_string",
            "iothub_hostname",
            "device_id",
            "authentication",
            "global_endpoint",
            "id_scope",
            "payload",
            "attestation",
        ),
        True,
    ),
    "provisioning.authentication": dict.fromkeys(
        ("method", "device_id_pk", "identity_cert", "identity_pk"), True
    ),
    "provisioning.attestation": dict.fromkeys(
        ("method", "registration_id", "symmetric_key", "identity_cert", "identity_pk"), True
    ),
}


def read_source(document: Mapping[str, Any]) -> Source:
    """Where the identity comes from.

    Raises InvalidInput with the key's path, NotAllowed (others may read a key file), NotFound (a file is
    missing), Unsupported (TPM, certificates from EST or a local authority).
    """
    provisioning = table(document, "provisioning")
    match provisioning.get("source", "manual"):
        case "manual":
            return _manual(provisioning)
        case "dps":
            mode = document.get("auto_reprovisioning_mode", ON_ERROR)
            return _dps(provisioning, str(mode))
        case other:
            raise Unsupported(
                f"provisioning.source {other!r} is not supported here",
                hint='use "manual" or "dps"',
                path="provisioning.source",
            )


def _manual(provisioning: Mapping[str, Any]) -> Manual:
    if "connection_string" in provisioning:
        return Manual(ConnectionString.parse(text(provisioning, "connection_string", "provisioning.")))
    host = text(provisioning, "iothub_hostname", "provisioning.")
    device = DeviceId(text(provisioning, "device_id", "provisioning."))
    path = "provisioning.authentication"
    authentication = table(provisioning, "authentication")
    match authentication.get("method", "sas"):
        case "sas":
            key = _key(table(authentication, "device_id_pk"), f"{path}.device_id_pk")
            return Manual(ConnectionString(host, device, shared_access_key=key))
        case "x509":
            return Manual(ConnectionString(host, device, x509=True), _certificate(authentication, path))
        case other:
            raise _unknown_method(other, path)


def _dps(provisioning: Mapping[str, Any], mode: str) -> Dps:
    path = "provisioning.attestation"
    attestation = table(provisioning, "attestation")
    scope = text(provisioning, "id_scope", "provisioning.")
    endpoint = provisioning.get("global_endpoint", GLOBAL_ENDPOINT)
    payload = _payload(table(provisioning, "payload"))
    match attestation.get("method"):
        case "symmetric_key":
            name = registration(scope, text(attestation, "registration_id", f"{path}."))
            key = _key(table(attestation, "symmetric_key"), f"{path}.symmetric_key")
            return Dps(name, str(endpoint), key, None, payload, mode)
        case "x509":
            certificate = _certificate(attestation, path)
            # As Azure's identity service: without an id it is the certificate's name.
            named = attestation.get("registration_id") or certificate.name
            return Dps(registration(scope, str(named)), str(endpoint), None, certificate, payload, mode)
        case other:
            raise _unknown_method(other, path)


def _key(value: Mapping[str, Any], path: str) -> str:
    if "value" in value:
        return text(value, "value", f"{path}.")
    if "uri" not in value:
        raise InvalidInput(f"{path} needs value or uri", path=path)
    # Azure's key service keeps the plain key in the file.
    return base64.b64encode(read_private(file_of(text(value, "uri", f"{path}.")))).decode()


def _certificate(attestation: Mapping[str, Any], path: str) -> Certificate:
    for key in ("identity_cert", "identity_pk"):
        if isinstance(attestation.get(key), Mapping):
            raise Unsupported(
                f"{path}.{key} cannot be issued here", hint="give it as a file: URI", path=f"{path}.{key}"
            )
    certificate = file_of(text(attestation, "identity_cert", f"{path}."))
    key_file = file_of(text(attestation, "identity_pk", f"{path}."))
    return certificate_from(certificate, key_file)


def certificate_from(certificate: Path, key: Path) -> Certificate:
    """A certificate and its key out of files; the key's must be its owner's only."""
    try:
        chain = certificate.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read the certificate {certificate}", path="identity_cert") from error
    return Certificate(chain, read_private(key).decode(errors="replace"))


def _payload(value: Mapping[str, Any]) -> Any:
    if not value:
        return None
    file = file_of(text(value, "uri", "provisioning.payload."))
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read {file} as JSON", path="provisioning.payload.uri") from error


def _unknown_method(method: object, path: str) -> Unsupported:
    return Unsupported(
        f"{path}.method {str(method)[:40]!r} is not supported here",
        hint="use a key (sas, symmetric_key) or x509",
        path=f"{path}.method",
    )
