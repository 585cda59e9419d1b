"""Enrolments as rows of the database; everything here runs inside a transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from skerry.contract.attestation import attestation_json
from skerry.contract.enrollment import Enrollment, enrollment_json, parse_enrollment
from skerry.contract.json_text import compact
from skerry.errors import NotFound
from skerry.store.storage import Transaction

_COLUMNS = "kind, id, document, primary_key, secondary_key, created, updated, etag"


def find(connection: Transaction, name: str, *, group: bool) -> Enrollment | None:
    sql = f"SELECT {_COLUMNS} FROM enrollments WHERE kind = ? AND id = ?"
    row = connection.execute(sql, (_kind(group), name)).fetchone()
    return None if row is None else _enrollment(row)


def load(connection: Transaction, name: str, *, group: bool) -> Enrollment:
    """The enrolment; raises NotFound."""
    found = find(connection, name, group=group)
    if found is None:
        what = "enrollment group" if group else "individual enrollment"
        raise NotFound(
            f"there is no {what} {name[:128]!r}", hint="skerry enrollment list shows them", id=name[:128]
        )
    return found


def listed(connection: Transaction, *, group: bool, after: str = "", limit: int = -1) -> list[Enrollment]:
    """Enrolments by id, those behind ``after``."""
    sql = f"SELECT {_COLUMNS} FROM enrollments WHERE kind = ? AND id > ? ORDER BY id LIMIT ?"
    return [_enrollment(row) for row in connection.execute(sql, (_kind(group), after, limit))]


def group_keys(connection: Transaction) -> list[tuple[str, tuple[str, str]]]:
    """Every group's id with its keys: all that is needed to find out whose a device with a key is."""
    sql = (
        "SELECT id, primary_key, secondary_key FROM enrollments"
        " WHERE kind = 'group' AND primary_key <> '' ORDER BY id"
    )
    return [(name, (primary, secondary)) for name, primary, secondary in connection.execute(sql)]


def groups_by_certificate(connection: Transaction) -> list[Enrollment]:
    """The groups whose devices show a certificate."""
    return [one for one in listed(connection, group=True) if one.x509 is not None]


def count(connection: Transaction, *, group: bool) -> int:
    sql = "SELECT count(*) FROM enrollments WHERE kind = ?"
    return int(connection.execute(sql, (_kind(group),)).fetchone()[0])


def save(connection: Transaction, enrollment: Enrollment) -> None:
    """Create or replace."""
    connection.execute(
        f"INSERT OR REPLACE INTO enrollments ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            _kind(enrollment.group),
            str(enrollment.id),
            compact(_document(enrollment)),
            *enrollment.keys,
            enrollment.created,
            enrollment.updated,
            enrollment.etag,
        ),
    )


def delete(connection: Transaction, enrollment: Enrollment) -> None:
    """Remove it with the registrations that it led to; the devices stay."""
    connection.execute(
        "DELETE FROM enrollments WHERE kind = ? AND id = ?", (_kind(enrollment.group), str(enrollment.id))
    )
    if enrollment.group:
        connection.execute("DELETE FROM registrations WHERE enrollment_group = ?", (str(enrollment.id),))
    else:
        connection.execute(
            "DELETE FROM registrations WHERE id = ? AND enrollment_group = ''", (str(enrollment.id),)
        )


def _document(enrollment: Enrollment) -> dict[str, Any]:
    """With certificates, which are public, and without keys, which have columns of their own."""
    document = enrollment_json(enrollment, with_keys=False)
    if enrollment.x509 is None:
        return document
    return {**document, "attestation": attestation_json(("", ""), enrollment.x509, whole=True)}


def _kind(group: bool) -> str:
    return "group" if group else "individual"


def _enrollment(row: Sequence[Any]) -> Enrollment:
    kind, name, document, primary, secondary, created, updated, etag = row
    parsed = parse_enrollment(json.loads(document), name, group=kind == "group")
    return replace(parsed, keys=(primary, secondary), created=created, updated=updated, etag=etag)
