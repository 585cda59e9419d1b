"""The enrolments of a provisioning service, as its owner reads and changes them (contract §5.4)."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from skerry.clock import Clock, iso
from skerry.contract.attestation import X509, attestation_json
from skerry.contract.enrollment import Enrollment, enrollment_json, parse_enrollment
from skerry.contract.member import Member
from skerry.contract.resources import error_code
from skerry.errors import (
    AlreadyExists,
    InvalidInput,
    NotAllowed,
    PreconditionFailed,
    SkerryError,
    Unsupported,
)
from skerry.hub import enrollment_rows as rows
from skerry.hub import etags, registration_rows
from skerry.hub.ca_certificates import CaCertificates
from skerry.hub.enrollment_certificates import settled
from skerry.hub.fresh import fresh_etag, fresh_key
from skerry.hub.journal import Journal
from skerry.store.storage import Storage, Transaction

log = logging.getLogger(__name__)

Json = dict[str, Any]

# Azure's bounds. Every group's key is tried for a device that is not enrolled individually.
INDIVIDUALS_MAX, GROUPS_MAX = 1_000_000, 100
BULK_MAX = 10
PAGE_DEFAULT, PAGE_MAX = 100, 1000
MODES = ("create", "update", "updateIfMatchETag", "delete")
_SELECT = re.compile(r"\s*select\s+\*(\s+from\s+[a-z]+)?\s*;?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """Some of what was asked for; ``continuation`` None when there is no more."""

    items: list[Json]
    continuation: str | None


class Enrollments:
    """Verbs take ``group``: enrolment groups and individual enrolments have names of their own.

    ``hub_names`` are the hubs that devices can be assigned to. Changes are durable when a verb returns.
    """

    def __init__(
        self,
        database: Storage,
        hub_names: Collection[str],
        host_name: str,
        authorities: CaCertificates,
        journal: Journal,
        clock: Clock,
    ) -> None:
        self._database = database
        self._authorities = authorities
        self._journal = journal
        self._hub_names = frozenset(name.lower() for name in hub_names)
        self._host_name = host_name
        self._clock = clock

    async def put(self, document: Any, name: str, if_match: str | None, *, group: bool) -> Json:
        """Create (no ``if_match``) or update one; the answer holds its keys, generated or kept if not given.

        Raises InvalidInput, Unsupported, AlreadyExists, NotFound, PreconditionFailed, NotAllowed (too many).
        """
        wanted = parse_enrollment(document, name, group=group)
        self._check_hubs(wanted)
        now = iso(self._clock.now())

        def work(connection: Transaction) -> Enrollment:
            if if_match is None:
                _check_new(connection, wanted)
                keys, x509, created, kept, before = ("", ""), None, now, wanted.id, ""
            else:
                old = rows.load(connection, name, group=group)
                _check_etag(old, if_match)
                keys, x509, created, kept, before = old.keys, old.x509, old.created, old.id, old.etag
            proof = self._proof(wanted, keys, x509)
            saved = replace(proof, id=kept, created=created, updated=now, etag=fresh_etag())
            rows.save(connection, saved)
            action = "enrollment.update" if before else "enrollment.create"
            self._journal.acted(connection, action, saved.id, before=before, after=saved.etag)
            return saved

        saved = await self._database.write(work)
        log.info("%s %s", saved.name, "created" if if_match is None else "updated")
        return enrollment_json(saved, with_keys=True)

    def _proof(self, wanted: Enrollment, keys: tuple[str, str], old: X509 | None) -> Enrollment:
        """With what its devices prove themselves by: given, kept or made."""
        if wanted.x509 is not None:
            return replace(wanted, keys=("", ""), x509=settled(wanted.x509, old, self._authorities))
        primary, secondary = (
            given or before or fresh_key() for given, before in zip(wanted.keys, keys, strict=True)
        )
        return replace(wanted, keys=(primary, secondary))

    async def get(self, name: str, *, group: bool) -> Json:
        """One, without its keys but, for a device, with what became of it; raises NotFound."""
        return await self._database.read(lambda c: self._shown(c, rows.load(c, name, group=group)))

    async def attestation(self, name: str, *, group: bool) -> Json:
        """How it is proved, with the keys; raises NotFound."""
        found = await self._database.read(lambda c: rows.load(c, name, group=group))
        return attestation_json(found.keys, found.x509, whole=found.x509 is None)

    async def delete(self, name: str, if_match: str | None, *, group: bool) -> None:
        """Remove it, so that its devices cannot register again; at the hub they stay.

        Raises NotFound, PreconditionFailed.
        """

        def work(connection: Transaction) -> Enrollment:
            old = rows.load(connection, name, group=group)
            _check_etag(old, if_match)
            rows.delete(connection, old)
            self._journal.acted(connection, "enrollment.delete", old.id, before=old.etag)
            return old

        log.info("%s deleted", (await self._database.write(work)).name)

    async def page(self, query: str, size: int, after: str | None, *, group: bool) -> Page:
        """Enrolments by id."""
        _check_query(query)

        def work(connection: Transaction) -> list[tuple[str, Json]]:
            found = rows.listed(connection, group=group, after=_position(after), limit=_bounded(size) + 1)
            return [(one.id, self._shown(connection, one)) for one in found]

        return await self._paged(work, size)

    async def bulk(self, document: Json) -> Json:
        """Many individual enrolments, each on its own, in one mode; the BulkEnrollmentOperationResult."""
        root = Member("", document)
        mode, entries = root["mode"].one_of(MODES), root["enrollments"]
        if not isinstance(entries.value, list) or not 1 <= len(entries.value) <= BULK_MAX:
            entries.refuse(f"an array of 1 to {BULK_MAX} enrollments")
        errors = []
        for at, entry in enumerate(entries.value):
            one = Member(f"enrollments[{at}]", entry)
            name = one["registrationId"].text()
            try:
                await self._one(mode, one, name)
            except SkerryError as exc:
                status, _ = error_code(exc)
                errors.append(
                    {"registrationId": name, "errorCode": status * 1000 + 1, "errorStatus": str(exc)}
                )
        return {"errors": errors, "isSuccessful": not errors}

    async def registration(self, name: str) -> Json:
        """What became of a device, and why it failed; raises NotFound."""
        found = await self._database.read(lambda c: registration_rows.load(c, name))
        return found.state(self._host_name, explained=True)

    async def forget_registration(self, name: str, if_match: str | None) -> None:
        """Treat its next registration as its first; raises NotFound, PreconditionFailed."""

        def work(connection: Transaction) -> None:
            old = registration_rows.load(connection, name)
            if if_match is not None and not etags.matches(if_match, old.etag):
                raise PreconditionFailed(f"the registration of {name!r} has changed", etag=old.etag)
            registration_rows.delete(connection, name)
            self._journal.acted(connection, "registration.delete", name, before=old.etag)

        await self._database.write(work)
        log.info("registration of %r forgotten", name)

    async def registrations(self, query: str, size: int, after: str | None, *, of_group: str) -> Page:
        """What became of a group's devices; raises NotFound."""
        _check_query(query)

        def work(connection: Transaction) -> list[tuple[str, Json]]:
            rows.load(connection, of_group, group=True)
            found = registration_rows.of_group(
                connection, of_group, after=_position(after), limit=_bounded(size) + 1
            )
            return [(one.id, one.state(self._host_name, explained=True)) for one in found]

        return await self._paged(work, size)

    async def _paged(self, work: Callable[[Transaction], list[tuple[str, Json]]], size: int) -> Page:
        found = await self._database.read(work)
        items = found[: _bounded(size)]
        more = len(found) > len(items)
        last = base64.urlsafe_b64encode(items[-1][0].encode()).decode() if more else None
        return Page([item for _, item in items], last)

    def _shown(self, connection: Transaction, enrollment: Enrollment) -> Json:
        document = enrollment_json(enrollment, with_keys=False)
        state = None if enrollment.group else registration_rows.find(connection, enrollment.id)
        if state is None:
            return document
        return {**document, "registrationState": state.state(self._host_name, explained=True)}

    async def _one(self, mode: str, entry: Member, name: str) -> None:
        if mode == "create":
            await self.put(entry.value, name, None, group=False)
            return
        if_match = etags.ANY
        if mode == "updateIfMatchETag" or (mode == "delete" and entry["etag"].given):
            if_match = entry["etag"].text()
        if mode == "delete":
            await self.delete(name, if_match, group=False)
        else:
            await self.put(entry.value, name, if_match, group=False)

    def _check_hubs(self, enrollment: Enrollment) -> None:
        if enrollment.hubs and not any(name.lower() in self._hub_names for name in enrollment.hubs):
            raise InvalidInput(
                "none of these hubs is the one this service assigns to",
                hint=f"leave it out, or name {self._host_name}",
                path="iotHubs",
                value=", ".join(enrollment.hubs)[:200],
            )


def _check_new(connection: Transaction, wanted: Enrollment) -> None:
    if rows.find(connection, wanted.id, group=wanted.group) is not None:
        raise AlreadyExists(f"{wanted.name} exists already", hint="send If-Match to update it", id=wanted.id)
    most = GROUPS_MAX if wanted.group else INDIVIDUALS_MAX
    if rows.count(connection, group=wanted.group) >= most:
        raise NotAllowed(f"there are {most} enrollments of this kind", hint="delete one")


def _check_etag(enrollment: Enrollment, if_match: str | None) -> None:
    if if_match is not None and not etags.matches(if_match, enrollment.etag):
        raise PreconditionFailed(
            f"{enrollment.name} has changed", hint="read it again and use its etag", etag=enrollment.etag
        )


def _check_query(text: str) -> None:
    if not _SELECT.fullmatch(text):
        raise Unsupported("enrollments are queried as a whole", hint="send SELECT *", query=text[:200])


def _bounded(size: int) -> int:
    return min(size, PAGE_MAX)


def _position(token: str | None) -> str:
    """The last id of the page before."""
    try:
        return base64.b64decode(token or "", altchars=b"-_", validate=True).decode()
    except ValueError as exc:  # not ASCII, not base64, not UTF-8
        raise InvalidInput("that is no continuation of ours", field="x-ms-continuation") from exc
