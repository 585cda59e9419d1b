"""What became of devices that asked to be provisioned, as rows; everything here runs inside a transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from skerry.errors import NotFound
from skerry.hub.fresh import fresh_etag, fresh_operation
from skerry.store.storage import Transaction

_COLUMNS = (
    "id, enrollment_group, operation, device, status, substatus, error_code, error_message,"
    " created, updated, etag"
)
_MARKS = ", ".join("?" * 11)


@dataclass(frozen=True, slots=True)
class Registration:
    """The last thing a device was told. ``group`` '' is an individual enrolment, ``device`` '' no device."""

    id: str
    group: str
    device: str
    status: str
    substatus: str = ""
    error_code: int | None = None
    error_message: str | None = None
    created: str = ""
    updated: str = ""
    operation: str = field(default_factory=fresh_operation)
    etag: str = field(default_factory=fresh_etag)

    def state(self, hub: str, *, explained: bool) -> dict[str, Any]:
        """The DeviceRegistrationState (contract §5.1); why it failed is for services only."""
        assigned = self.status == "assigned"
        state: dict[str, Any] = {
            "registrationId": self.id,
            "createdDateTimeUtc": self.created,
            "assignedHub": hub if assigned else None,
            "deviceId": self.device or None,
            "status": self.status,
            "substatus": self.substatus or None,
            "lastUpdatedDateTimeUtc": self.updated,
            "etag": self.etag,
        }
        if self.error_code is not None:
            message = self.error_message if explained else "the service's operator can see why"
            state |= {"errorCode": self.error_code, "errorMessage": message}
        return {name: value for name, value in state.items() if value is not None}


def find(connection: Transaction, name: str) -> Registration | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM registrations WHERE id = ?", (name,)).fetchone()
    return None if row is None else _registration(row)


def load(connection: Transaction, name: str) -> Registration:
    """The registration; raises NotFound."""
    found = find(connection, name)
    if found is None:
        raise NotFound(f"{name[:128]!r} never registered", hint="is that its registration id?", id=name[:128])
    return found


def of_group(connection: Transaction, group: str, *, after: str, limit: int) -> list[Registration]:
    """A group's registrations by id, those behind ``after``."""
    sql = f"SELECT {_COLUMNS} FROM registrations WHERE enrollment_group = ? AND id > ? ORDER BY id LIMIT ?"
    return [_registration(row) for row in connection.execute(sql, (group, after, limit))]


def save(connection: Transaction, one: Registration) -> None:
    """Create or replace."""
    connection.execute(
        f"INSERT OR REPLACE INTO registrations ({_COLUMNS}) VALUES ({_MARKS})",
        (
            one.id,
            one.group,
            one.operation,
            one.device,
            one.status,
            one.substatus,
            one.error_code,
            one.error_message,
            one.created,
            one.updated,
            one.etag,
        ),
    )


def delete(connection: Transaction, name: str) -> None:
    connection.execute("DELETE FROM registrations WHERE id = ?", (name,))


def _registration(row: tuple[Any, ...]) -> Registration:
    name, group, operation, device, status, substatus, code, message, created, updated, etag = row
    return Registration(
        name, group, device, status, substatus, code, message, created, updated, operation, etag
    )
