"""Device and module identities as rows of the database; everything here runs inside a transaction."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.contract.resources import NEVER, DeviceRecord, ModuleRecord, SymmetricKeys, Thumbprints
from skerry.errors import NotFound
from skerry.hub import twin_rows
from skerry.hub.fresh import fresh_etag, fresh_generation, fresh_key
from skerry.hub.subscriptions import key
from skerry.store.storage import Transaction

COLUMNS = (
    "generation, etag, status, status_reason, status_updated, auth_type, primary_key, secondary_key,"
    " primary_thumbprint, secondary_thumbprint, iot_edge, device_scope, parent_scopes, managed_by,"
    " connection_updated, last_activity, model_id"
)
Record = DeviceRecord | ModuleRecord
NAMES = [name.strip() for name in COLUMNS.split(",")]


@dataclass(frozen=True, slots=True)
class IdentityRow:
    """A registered device or module; times are ISO text in UTC."""

    identity: Identity
    generation: str = field(default_factory=fresh_generation)
    etag: str = field(default_factory=fresh_etag)
    status: str = "enabled"
    status_reason: str | None = None
    status_updated: str = NEVER
    auth_type: str = "sas"
    keys: tuple[str, str] = field(default_factory=lambda: (fresh_key(), fresh_key()), repr=False)
    thumbprints: Thumbprints = field(default_factory=Thumbprints)
    iot_edge: bool = False
    device_scope: str = ""
    parent_scopes: tuple[str, ...] = ()
    managed_by: str = ""
    connection_updated: str = NEVER
    last_activity: str = NEVER
    model_id: str = ""

    def changed(self) -> IdentityRow:
        """The same with a new etag, for an update."""
        return replace(self, etag=fresh_etag())

    def record(self) -> Record:
        """The identity as the service API shows it."""
        keys = SymmetricKeys(*self.keys) if self.auth_type == "sas" else None
        if self.identity.module is not None:
            return ModuleRecord(
                device_id=self.identity.device,
                module_id=self.identity.module,
                generation_id=self.generation,
                etag=self.etag,
                managed_by=self.managed_by,
                keys=keys,
                auth_type=self.auth_type,
                thumbprints=self.thumbprints,
                connection_state_updated_time=self.connection_updated,
                last_activity_time=self.last_activity,
                model_id=self.model_id,
            )
        return DeviceRecord(
            device_id=self.identity.device,
            generation_id=self.generation,
            etag=self.etag,
            status=self.status,
            status_reason=self.status_reason,
            keys=keys,
            auth_type=self.auth_type,
            iot_edge=self.iot_edge,
            device_scope=self.device_scope,
            parent_scopes=self.parent_scopes,
            thumbprints=self.thumbprints,
            connection_state_updated_time=self.connection_updated,
            status_updated_time=self.status_updated,
            last_activity_time=self.last_activity,
            model_id=self.model_id,
        )


def identity_of(device: str, module: str) -> Identity:
    """Who a row is of: the two columns every table of the hub is keyed by."""
    return Identity(DeviceId(device), ModuleId(module) if module else None)


def new_module(identity: Identity, managed_by: str, now: str) -> IdentityRow:
    """A module with generated keys."""
    return IdentityRow(identity, managed_by=managed_by, status_updated=now)


def find(connection: Transaction, identity: Identity) -> IdentityRow | None:
    """The identity, or ``None`` when it is not registered."""
    sql = f"SELECT device, module, {COLUMNS} FROM identities WHERE device = ? AND module = ?"
    row = connection.execute(sql, key(identity)).fetchone()
    return None if row is None else _row(row)


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether an identity may connect, and the keys it may sign with: none for one with a certificate."""

    keys: tuple[str, ...] = field(repr=False)
    enabled: bool


def admission(connection: Transaction, identity: Identity) -> Admission | None:
    """What every connection asks for, at a fraction of a whole row; ``None`` when it is not registered."""
    sql = (
        "SELECT one.auth_type, one.primary_key, one.secondary_key, device.status FROM identities AS one"
        " JOIN identities AS device ON device.device = one.device AND device.module = ''"
        " WHERE one.device = ? AND one.module = ?"
    )
    row = connection.execute(sql, key(identity)).fetchone()
    if row is None:
        return None
    auth_type, primary, secondary, status = row
    return Admission((primary, secondary) if auth_type == "sas" else (), status == "enabled")


def load(connection: Transaction, identity: Identity) -> IdentityRow:
    """The identity; raises NotFound."""
    row = find(connection, identity)
    if row is None:
        raise NotFound(
            f"{identity.client_id} is not registered", hint="create it first", id=identity.client_id
        )
    return row


def modules_of(connection: Transaction, device: DeviceId) -> list[IdentityRow]:
    """The modules of a device by name."""
    sql = (
        f"SELECT device, module, {COLUMNS} FROM identities WHERE device = ? AND module <> '' ORDER BY module"
    )
    return [_row(row) for row in connection.execute(sql, (str(device),))]


def devices(connection: Transaction, top: int) -> list[IdentityRow]:
    """The first ``top`` devices by name."""
    sql = f"SELECT device, module, {COLUMNS} FROM identities WHERE module = '' ORDER BY device LIMIT ?"
    return [_row(row) for row in connection.execute(sql, (top,))]


def in_scope(connection: Transaction, scope: str) -> list[IdentityRow]:
    """The devices whose scope, or one of whose parents', this is."""
    # Only our own column names are put into the text.
    sql = (
        f"SELECT device, module, {COLUMNS} FROM identities WHERE module = '' AND (device_scope = ?1"
        " OR EXISTS (SELECT 1 FROM json_each(parent_scopes) WHERE value = ?1)) ORDER BY device"
    )
    return [_row(row) for row in connection.execute(sql, (scope,))]


def create(connection: Transaction, row: IdentityRow, now: str) -> None:
    """Add an identity together with its empty twin."""
    # A client of an earlier identity of this name may have subscribed while it was being deleted.
    connection.execute("DELETE FROM subscriptions WHERE device = ? AND module = ?", key(row.identity))
    marks = ", ".join("?" * (len(NAMES) + 2))
    connection.execute(
        f"INSERT INTO identities (device, module, {COLUMNS}) VALUES ({marks})",
        (*key(row.identity), *_values(row)),
    )
    twin_rows.create(connection, row.identity, now)


def save(connection: Transaction, row: IdentityRow) -> None:
    """Write back an identity that is registered."""
    assignments = ", ".join(f"{name} = ?" for name in NAMES)
    connection.execute(
        f"UPDATE identities SET {assignments} WHERE device = ? AND module = ?",
        (*_values(row), *key(row.identity)),
    )


def delete(connection: Transaction, identity: Identity) -> None:
    """Remove an identity, twin and subscriptions with it; a device takes its modules along."""
    device, module = key(identity)
    for table in ("subscriptions", "twins", "identities"):
        if identity.module is None:
            connection.execute(f"DELETE FROM {table} WHERE device = ?", (device,))
        else:
            connection.execute(f"DELETE FROM {table} WHERE device = ? AND module = ?", (device, module))


def _values(row: IdentityRow) -> tuple[str | int | None, ...]:
    return (
        row.generation,
        row.etag,
        row.status,
        row.status_reason,
        row.status_updated,
        row.auth_type,
        *row.keys,
        row.thumbprints.primary,
        row.thumbprints.secondary,
        int(row.iot_edge),
        row.device_scope,
        json.dumps(row.parent_scopes),
        row.managed_by,
        row.connection_updated,
        row.last_activity,
        row.model_id,
    )


def _row(row: tuple[str, ...]) -> IdentityRow:
    device, module, *values = row
    given = dict(zip(NAMES, values, strict=True))
    return IdentityRow(
        identity=Identity(DeviceId(device), ModuleId(module) if module else None),
        generation=given["generation"],
        etag=given["etag"],
        status=given["status"],
        status_reason=given["status_reason"],
        status_updated=given["status_updated"],
        auth_type=given["auth_type"],
        keys=(given["primary_key"], given["secondary_key"]),
        thumbprints=Thumbprints(given["primary_thumbprint"], given["secondary_thumbprint"]),
        iot_edge=bool(given["iot_edge"]),
        device_scope=given["device_scope"],
        parent_scopes=tuple(json.loads(given["parent_scopes"])),
        managed_by=given["managed_by"],
        connection_updated=given["connection_updated"],
        last_activity=given["last_activity"],
        model_id=given["model_id"],
    )
