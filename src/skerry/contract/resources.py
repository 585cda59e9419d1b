"""The service's view of devices, modules, twins, errors as JSON (contract.md §4.1, §4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skerry.contract.credentials import key_bytes
from skerry.contract.json_text import Json
from skerry.contract.member import Member
from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.contract.resource_errors import ERROR_CODES, error_body, error_code
from skerry.contract.twin import Twin, service_view_properties
from skerry.errors import InvalidInput

__all__ = [
    "AUTH_TYPES",
    "ERROR_CODES",
    "NEVER",
    "DeviceRecord",
    "DeviceRequest",
    "ModuleRecord",
    "ModuleRequest",
    "SymmetricKeys",
    "Thumbprints",
    "device_json",
    "edge_scope",
    "error_body",
    "error_code",
    "module_json",
    "parse_device_request",
    "parse_module_request",
    "twin_json",
]

NEVER = "0001-01-01T00:00:00Z"
STATUSES = ("enabled", "disabled")
AUTH_TYPES = ("sas", "selfSigned", "certificateAuthority", "none")
# Azure's bounds on a given key, decoded (contract.md §4.3).
KEY_BYTES_MIN, KEY_BYTES_MAX = 16, 64
STATUS_REASON_CHARS_MAX = 128
SCOPE_CHARS_MAX = 512
PARENTS_MAX = 16
# SHA-1 or SHA-256 in hex.
THUMBPRINT_CHARS = (0, 40, 64)


@dataclass(frozen=True, slots=True)
class SymmetricKeys:
    """Both keys of an identity, base64; either signs."""

    primary: str = field(repr=False)
    secondary: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Thumbprints:
    """Fingerprints (hex) of the certificates a selfSigned identity may present."""

    primary: str = ""
    secondary: str = ""


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A registered device; times as clock.iso writes them."""

    device_id: DeviceId
    generation_id: str
    etag: str
    status: str = "enabled"
    status_reason: str | None = None
    keys: SymmetricKeys | None = None
    auth_type: str = "sas"
    iot_edge: bool = False
    device_scope: str = ""
    parent_scopes: tuple[str, ...] = ()
    thumbprints: Thumbprints = Thumbprints()
    connection_state_updated_time: str = NEVER
    status_updated_time: str = NEVER
    last_activity_time: str = NEVER
    model_id: str = ""

    @property
    def identity(self) -> Identity:
        return Identity(self.device_id)


@dataclass(frozen=True, slots=True)
class ModuleRecord:
    """A registered module; ``managed_by`` is ``iotEdge`` when a deployment made it."""

    device_id: DeviceId
    module_id: ModuleId
    generation_id: str
    etag: str
    managed_by: str = ""
    keys: SymmetricKeys | None = None
    auth_type: str = "sas"
    thumbprints: Thumbprints = Thumbprints()
    connection_state_updated_time: str = NEVER
    last_activity_time: str = NEVER
    model_id: str = ""

    @property
    def identity(self) -> Identity:
        return Identity(self.device_id, self.module_id)


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """A device as a service wants it; a key that is None is for the hub to make."""

    device_id: DeviceId
    status: str
    status_reason: str | None
    auth_type: str
    primary_key: str | None = field(repr=False)
    secondary_key: str | None = field(repr=False)
    thumbprints: Thumbprints
    iot_edge: bool
    device_scope: str | None
    parent_scopes: tuple[str, ...]
    etag: str | None


@dataclass(frozen=True, slots=True)
class ModuleRequest:
    """A module as a service wants it; a key that is None is for the hub to make."""

    device_id: DeviceId
    module_id: ModuleId
    managed_by: str
    auth_type: str
    primary_key: str | None = field(repr=False)
    secondary_key: str | None = field(repr=False)
    thumbprints: Thumbprints
    etag: str | None


def edge_scope(device_id: DeviceId, generation_id: str) -> str:
    """The scope an edge device owns; its children carry it."""
    return f"ms-azure-iot-edge://{device_id}-{generation_id}"


def device_json(record: DeviceRecord, connected: bool, *, c2d_count: int = 0) -> dict[str, Any]:
    """The Device of the service API, keys included."""
    return {
        "deviceId": str(record.device_id),
        "generationId": record.generation_id,
        "etag": record.etag,
        "connectionState": _state(connected),
        "status": record.status,
        "statusReason": record.status_reason,
        "connectionStateUpdatedTime": record.connection_state_updated_time,
        "statusUpdatedTime": record.status_updated_time,
        "lastActivityTime": record.last_activity_time,
        "cloudToDeviceMessageCount": c2d_count,
        "authentication": _authentication(record),
        "capabilities": {"iotEdge": record.iot_edge},
        "deviceScope": record.device_scope,
        "parentScopes": list(record.parent_scopes),
    }


def module_json(record: ModuleRecord, connected: bool) -> dict[str, Any]:
    """The Module of the service API, keys included."""
    return {
        "moduleId": str(record.module_id),
        "managedBy": record.managed_by,
        "deviceId": str(record.device_id),
        "generationId": record.generation_id,
        "etag": record.etag,
        "connectionState": _state(connected),
        "connectionStateUpdatedTime": record.connection_state_updated_time,
        "lastActivityTime": record.last_activity_time,
        "cloudToDeviceMessageCount": 0,
        "authentication": _authentication(record),
    }


def twin_json(
    record: DeviceRecord | ModuleRecord,
    twin: Twin,
    connected: bool,
    *,
    c2d_count: int = 0,
    configurations: Mapping[str, Json] | None = None,
) -> dict[str, Any]:
    """The Twin of the service API."""
    return {
        **_twin_identity(record),
        "etag": twin.etag,
        "version": twin.version,
        "deviceEtag": record.etag,
        "connectionState": _state(connected),
        "lastActivityTime": record.last_activity_time,
        "cloudToDeviceMessageCount": c2d_count,
        "authenticationType": record.auth_type,
        "x509Thumbprint": _thumbprint(record.thumbprints),
        "modelId": record.model_id,
        **({"tags": twin.tags} if isinstance(record, DeviceRecord) or twin.tags else {}),
        "properties": service_view_properties(twin),
        **({} if configurations is None else {"configurations": dict(configurations)}),
    }


def parse_device_request(document: Json, url_id: str) -> DeviceRequest:
    """The body of PUT /devices/{url_id}; InvalidInput with ``path`` when it breaks a rule."""
    root = Member("", document)
    _check_same(root["deviceId"], url_id)
    status, reason, scope = root["status"], root["statusReason"], root["deviceScope"]
    auth = root["authentication"]
    return DeviceRequest(
        device_id=DeviceId(url_id),
        status=status.one_of(STATUSES) if status.given else "enabled",
        status_reason=_bounded(reason, STATUS_REASON_CHARS_MAX) if reason.given else None,
        auth_type=_auth_type(auth),
        primary_key=_key(auth, "primaryKey"),
        secondary_key=_key(auth, "secondaryKey"),
        thumbprints=_thumbprints(auth),
        iot_edge=_iot_edge(root["capabilities"]),
        device_scope=_bounded(scope, SCOPE_CHARS_MAX) if scope.given else None,
        parent_scopes=_parents(root["parentScopes"]),
        etag=_etag(root["etag"]),
    )


def parse_module_request(document: Json, url_device: str, url_module: str) -> ModuleRequest:
    """The body of PUT /devices/{d}/modules/{m}; InvalidInput with ``path`` when it breaks a rule."""
    root = Member("", document)
    _check_same(root["deviceId"], url_device)
    _check_same(root["moduleId"], url_module)
    managed, auth = root["managedBy"], root["authentication"]
    return ModuleRequest(
        device_id=DeviceId(url_device),
        module_id=ModuleId(url_module),
        managed_by=_bounded(managed, STATUS_REASON_CHARS_MAX) if managed.given else "",
        auth_type=_auth_type(auth),
        primary_key=_key(auth, "primaryKey"),
        secondary_key=_key(auth, "secondaryKey"),
        thumbprints=_thumbprints(auth),
        etag=_etag(root["etag"]),
    )


def _twin_identity(record: DeviceRecord | ModuleRecord) -> dict[str, Any]:
    if isinstance(record, ModuleRecord):
        return {"deviceId": str(record.device_id), "moduleId": str(record.module_id), "status": "enabled"}
    return {
        "deviceId": str(record.device_id),
        "status": record.status,
        "statusReason": record.status_reason,
        "statusUpdateTime": record.status_updated_time,
        "capabilities": {"iotEdge": record.iot_edge},
        "deviceScope": record.device_scope,
        "parentScopes": list(record.parent_scopes),
    }


def _state(connected: bool) -> str:
    return "Connected" if connected else "Disconnected"


def _authentication(record: DeviceRecord | ModuleRecord) -> dict[str, Any]:
    keys = record.keys
    return {
        "symmetricKey": {
            "primaryKey": keys.primary if keys else None,
            "secondaryKey": keys.secondary if keys else None,
        },
        "x509Thumbprint": _thumbprint(record.thumbprints),
        "type": record.auth_type,
    }


def _thumbprint(thumbprints: Thumbprints) -> dict[str, str | None]:
    return {
        "primaryThumbprint": thumbprints.primary or None,
        "secondaryThumbprint": thumbprints.secondary or None,
    }


def _check_same(member: Member, url_id: str) -> None:
    if member.given and member.value != url_id:
        member.refuse(f"the id in the URL, {url_id}")


def _bounded(member: Member, chars_max: int) -> str:
    text = member.text(blank=True)
    return text if len(text) <= chars_max else member.refuse(f"at most {chars_max} characters")


def _auth_type(auth: Member) -> str:
    if not auth.given:
        return "sas"
    kind = auth["type"]
    if kind.given:
        return kind.one_of(AUTH_TYPES)
    # Older clients name no type and just give what they use.
    return "selfSigned" if _thumbprints(auth) != Thumbprints() else "sas"


def _key(auth: Member, name: str) -> str | None:
    """The given key; None when it is missing, null or, as from Node, an empty string."""
    if not auth.given or not auth["symmetricKey"].given:
        return None
    member = auth["symmetricKey"][name]
    if not member.given or member.value == "":
        return None
    expected = f"base64 of {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes"
    hidden = Member(member.path, None)
    if not isinstance(member.value, str):
        hidden.refuse(expected)
    try:
        size = len(key_bytes(member.value))
    except InvalidInput:
        hidden.refuse(expected)
    return member.value if KEY_BYTES_MIN <= size <= KEY_BYTES_MAX else hidden.refuse(expected)


def _thumbprints(auth: Member) -> Thumbprints:
    if not auth.given or not auth["x509Thumbprint"].given:
        return Thumbprints()
    both = auth["x509Thumbprint"]
    return Thumbprints(
        _thumbprint_text(both["primaryThumbprint"]), _thumbprint_text(both["secondaryThumbprint"])
    )


def _thumbprint_text(member: Member) -> str:
    text = member.text(blank=True) if member.given else ""
    if len(text) not in THUMBPRINT_CHARS or set(text) - set("0123456789abcdefABCDEF"):
        member.refuse("40 or 64 hexadecimal digits")
    return text


def _iot_edge(capabilities: Member) -> bool:
    flag = capabilities["iotEdge"] if capabilities.given else capabilities
    if not flag.given:
        return False
    return flag.value if isinstance(flag.value, bool) else flag.refuse("true or false")


def _parents(member: Member) -> tuple[str, ...]:
    if not member.given:
        return ()
    if not isinstance(member.value, list) or len(member.value) > PARENTS_MAX:
        member.refuse(f"an array of at most {PARENTS_MAX} scopes")
    return tuple(
        _bounded(Member(f"{member.path}[{index}]", value), SCOPE_CHARS_MAX)
        for index, value in enumerate(member.value)
    )


def _etag(member: Member) -> str | None:
    return _bounded(member, STATUS_REASON_CHARS_MAX) if member.given else None
