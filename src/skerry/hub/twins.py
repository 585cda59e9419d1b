"""Twins: what services want of an identity, what it reports, and telling it about changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from skerry.clock import Clock, iso
from skerry.contract.hub_limits import Limits
from skerry.contract.json_text import compact
from skerry.contract.names import Identity
from skerry.contract.twin import (
    Section,
    Twin,
    device_view,
    merge,
    patch_section,
    replace_section,
    validate_patch,
)
from skerry.errors import InvalidInput, PreconditionFailed, TooLarge, Unavailable
from skerry.hub import twin_rows
from skerry.hub.changes import REPORTED, Changes
from skerry.hub.etags import matches
from skerry.hub.fresh import fresh_etag
from skerry.hub.journal import Journal
from skerry.hub.owners import Owners
from skerry.store.storage import Storage, Transaction

log = logging.getLogger(__name__)

Json = dict[str, Any]

# One patch is bounded by the contract (32 KiB); this bounds what many of them add up to, in any profile.
SECTION_BYTES_MAX = 128 * 1024


@dataclass(frozen=True, slots=True)
class DesiredChange:
    """What a connected identity has to be told: the patch to its desired properties, their new version."""

    identity: Identity
    patch: Json
    version: int


class Twins:
    """The twins of one hub. Every change is durable when the verb returns, and then told to the identity."""

    def __init__(
        self,
        database: Storage,
        owners: Owners,
        clock: Clock,
        changes: Changes,
        journal: Journal,
        limits: Limits,
    ) -> None:
        self._limits = limits
        self._changes = changes
        self._journal = journal
        self._database = database
        self._owners = owners
        self._clock = clock
        self._telling: set[asyncio.Task[None]] = set()

    def get(self, identity: Identity) -> Twin:
        """The whole twin; raises NotFound."""
        return self._database.read_now(lambda connection: twin_rows.load(connection, identity))

    def device_view(self, identity: Identity) -> Json:
        """What the identity itself gets on a twin GET; raises NotFound."""
        return device_view(self.get(identity))

    async def patch(self, identity: Identity, document: Json, if_match: str | None) -> Twin:
        """Merge ``tags`` and ``properties.desired`` (contract §4.4).

        Raises NotFound, PreconditionFailed, InvalidInput (with ``path``), TooLarge.
        """
        tags, desired = _parts(document)
        note = self._journal.twin_patched
        return await self._change(
            identity,
            if_match,
            lambda twin, now: patched(identity, twin, tags, desired, now),
            lambda connection, old, new: note(connection, identity, old, new, desired),
        )

    async def replace(self, identity: Identity, document: Json, if_match: str | None) -> Twin:
        """Replace ``tags`` and ``properties.desired``; what is not given becomes empty."""
        tags, desired = _parts(document)
        note = self._journal.twin_replaced
        return await self._change(
            identity,
            if_match,
            lambda twin, now: replaced(identity, twin, tags or {}, desired or {}, now),
            lambda connection, old, new: note(connection, identity, old, new),
        )

    async def patch_reported(self, identity: Identity, patch: Json) -> int:
        """Merge what the identity reports; returns the new version of its reported section."""
        validate_patch(patch)
        now = iso(self._clock.now())

        def work(connection: Transaction) -> int:
            twin = twin_rows.load(connection, identity)
            reported = _bounded("properties.reported", patch_section(twin.reported, patch, now))
            changed = replace(twin, reported=reported)
            _check("properties.reported", reported.values, self._limits.section_bytes)
            twin_rows.save(connection, identity, changed)
            self._journal.reported(connection, identity, changed, patch)
            return reported.version

        version = await self._database.write(work)
        self._changes.tell(identity, REPORTED)
        return version

    def tell(self, change: DesiredChange) -> None:
        """Send a change to its identity if it is connected and wants it; order is that of the calls."""

        async def send() -> None:
            try:
                await self._owners.tell_desired(change.identity, change.patch, change.version)
            except Unavailable as gone:
                # It will compare $version when it is back (contract §1.4).
                log.info(
                    "desired version %d not told to %s: %s", change.version, change.identity.client_id, gone
                )

        task = asyncio.ensure_future(send())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _change(
        self,
        identity: Identity,
        if_match: str | None,
        rule: Callable[[Twin, str], tuple[Twin, DesiredChange | None]],
        note: Callable[[Transaction, Twin, Twin], None],
    ) -> Twin:
        now = iso(self._clock.now())

        def work(connection: Transaction) -> tuple[Twin, DesiredChange | None]:
            twin = twin_rows.load(connection, identity)
            if if_match is not None and not matches(if_match, twin.etag):
                raise PreconditionFailed(
                    f"the twin of {identity.client_id} has changed", hint="read it again", etag=twin.etag
                )
            changed, change = rule(twin, now)
            _check("tags", changed.tags, self._limits.tags_bytes)
            _check("properties.desired", changed.desired.values, self._limits.section_bytes)
            twin_rows.save(connection, identity, changed)
            note(connection, twin, changed)
            return changed, change

        twin, change = await self._database.write(work)
        self._changes.tell(identity)
        if change is not None:
            log.info("desired properties of %s are at version %d", identity.client_id, change.version)
            self.tell(change)
        return twin


def replaced(
    identity: Identity, twin: Twin, tags: Json, desired: Json, now: str
) -> tuple[Twin, DesiredChange]:
    """The twin with other tags and desired properties, and what its identity has to be told."""
    section, patch = replace_section(twin.desired, desired, now)
    changed = _next(twin, tags, section)
    return changed, DesiredChange(identity, patch, section.version)


def patched(
    identity: Identity, twin: Twin, tags: Json | None, desired: Json | None, now: str
) -> tuple[Twin, DesiredChange | None]:
    """The twin with these merged in, and what its identity has to be told, if anything."""
    new_tags = twin.tags if tags is None else merge(twin.tags, tags)
    if desired is None:
        return _next(twin, new_tags, twin.desired), None
    section = _bounded("properties.desired", patch_section(twin.desired, desired, now))
    return _next(twin, new_tags, section), DesiredChange(identity, desired, section.version)


def _next(twin: Twin, tags: Json, desired: Section) -> Twin:
    return replace(twin, tags=tags, desired=desired, version=twin.version + 1, etag=fresh_etag())


def _bounded(path: str, section: Section) -> Section:
    _check(path, section.values, SECTION_BYTES_MAX)
    return section


def _check(path: str, values: Json, bytes_max: int) -> None:
    size = len(compact(values))
    if size > bytes_max:
        raise TooLarge("the twin is full", path=path, bytes=size, bytes_max=bytes_max)


def _parts(document: Json) -> tuple[Json | None, Json | None]:
    """Tags and desired of a service's twin document, ``None`` for what it leaves out; ignores the rest."""
    tags = _object(document, "tags", "tags")
    properties = _object(document, "properties", "properties") or {}
    desired = _object(properties, "desired", "properties.desired")
    if desired is not None:
        desired = {name: value for name, value in desired.items() if name not in ("$version", "$metadata")}
        validate_patch(desired, name="properties.desired")
    if tags is not None:
        validate_patch(tags, name="tags")
    return tags, desired


def _object(document: Json, name: str, path: str) -> Json | None:
    value = document.get(name)
    if value is not None and not isinstance(value, dict):
        raise InvalidInput(f"{path} is not a JSON object", path=path, value=value)
    return value
