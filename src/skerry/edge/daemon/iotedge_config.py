"""Azure IoT Edge's ``config.toml`` as our settings (contract.md §6.14).

Every key is either taken over, or known and named as one that is not needed here, or refused by its name:
a typing error that is ignored shows months later.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skerry.edge.daemon.identity_source import Source
from skerry.edge.daemon.iotedge_provisioning import KEYS as PROVISIONING_KEYS
from skerry.edge.daemon.iotedge_provisioning import read_source
from skerry.edge.daemon.toml_table import file_of, table, text
from skerry.edge.settings import EdgeSettings
from skerry.errors import InvalidInput, NotFound

DAY_S = 86_400.0
# Sections and keys that Azure IoT Edge knows; True: its value is taken over.
KNOWN: Mapping[str, bool] = {
    "hostname": True,
    "parent_hostname": True,
    "trust_bundle_cert": True,
    "allow_elevated_docker_permissions": False,
    "prefer_module_identity_cache": False,
    "auto_reprovisioning_mode": True,
    "cloud_timeout_sec": False,
    "cloud_retries": False,
    "homedir": False,
    "imported_master_encryption_key": False,
    "additional_info": False,
    "provisioning": True,
    "agent": False,
    "connect": False,
    "listen": False,
    "watchdog": False,
    "edge_ca": False,
    "cert_issuance": False,
    "tpm": False,
    "aziot_keys": False,
    "aziot_keyd": False,
    "preloaded_keys": False,
    "preloaded_certs": False,
    "image_garbage_collection": True,
    "moby_runtime": True,
}
SECTIONS: Mapping[str, Mapping[str, bool]] = {
    **PROVISIONING_KEYS,
    "image_garbage_collection": {
        "enabled": True,
        "cleanup_recurrence": False,
        "image_age_cleanup_threshold": True,
        "cleanup_time": False,
    },
    "moby_runtime": {"uri": False, "network": True, "content_trust": False},
}
AGE_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY_S}
# Never: further away than any device lives.
NEVER_S = 1000 * 365 * DAY_S


@dataclass(frozen=True)
class Imported:
    """What was read: ``options`` are EdgeSettings fields, ``unused`` the keys that mean nothing here."""

    source: Source
    options: Mapping[str, Any]
    hub_ca: Path | None
    unused: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Imported({sorted(self.options)}, unused={self.unused})"


def read_iotedge_config(path: Path) -> Imported:
    """Read the file. NotFound, NotAllowed (others may read a key), InvalidInput with the
    key's path, Unsupported for TPM and issued certificates."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}", path=str(path)) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read as TOML: {error}", path=str(path)) from error
    unused = tuple(_unused(document))
    options: dict[str, Any] = {}
    if "hostname" in document:
        options["hostname"] = text(document, "hostname")
    if "parent_hostname" in document:
        options["hub_address"] = text(document, "parent_hostname")
    if network := table(document, "moby_runtime").get("network"):
        options["network"] = str(network["name"] if isinstance(network, Mapping) else network)
    if (kept := _keep_images_s(table(document, "image_garbage_collection"))) is not None:
        options["keep_images_s"] = kept
    ca = file_of(text(document, "trust_bundle_cert")) if "trust_bundle_cert" in document else None
    EdgeSettings(Path("/"), **options)
    return Imported(read_source(document), options, ca, unused)


def _unused(document: Mapping[str, Any]) -> Iterator[str]:
    for path, keys in {"": KNOWN, **SECTIONS}.items():
        table: Any = document
        for part in path.split(".") if path else ():
            table = table.get(part) if isinstance(table, Mapping) else None
        for key in table if isinstance(table, Mapping) else ():
            name = f"{path}.{key}" if path else key
            if key not in keys:
                raise InvalidInput(
                    f"there is no setting {name}", hint=f"there are: {', '.join(sorted(keys))}", path=name
                )
            if not keys.get(key, True):
                yield name


def _keep_images_s(table: Mapping[str, Any]) -> float | None:
    if table.get("enabled") is False:
        return NEVER_S
    if (age := table.get("image_age_cleanup_threshold")) is None:
        return None
    text = str(age)
    if not text[:-1].isdecimal() or text[-1] not in AGE_UNITS_S:
        path = "image_garbage_collection.image_age_cleanup_threshold"
        raise InvalidInput(f"{path} is no time: {text!r}", hint='write "7d"', path=path)
    return int(text[:-1]) * AGE_UNITS_S[text[-1]]
