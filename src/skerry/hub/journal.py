"""What happened to the hub's objects, written in the transaction in which it happens.

Two readers: the audit log of who changed what, and the event log, which gets its part by way of the outbox.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from skerry.clock import Clock, iso
from skerry.contract.hub_event import (
    Source,
    connection_changed,
    hub_event,
    lifecycle,
    twin_replaced,
    twin_updated,
)
from skerry.contract.names import Identity
from skerry.contract.twin import Document, Twin, difference
from skerry.hub import audit_rows, outbox_rows, twin_rows
from skerry.hub.actor import actor
from skerry.hub.audit_rows import Entry
from skerry.hub.identity_rows import IdentityRow
from skerry.hub.owners import Presence
from skerry.store.storage import Transaction

# How much of what changed is named in an entry of the audit log.
DETAIL_CHARS_MAX = 500
# What of an identity is compared and named; of keys only that they changed.
_COMPARED = (
    "status",
    "status_reason",
    "auth_type",
    "keys",
    "thumbprints",
    "iot_edge",
    "device_scope",
    "parent_scopes",
    "managed_by",
)


class Journal:
    """Every method but ``written`` runs inside a transaction of the hub's database.

    ``sources`` are the events that are wanted; ``on_written`` is called once something is durable.
    """

    def __init__(self, hub_name: str, sources: Collection[Source], clock: Clock) -> None:
        self._hub_name = hub_name
        self._sources = frozenset(sources)
        self._clock = clock
        self.on_written: Callable[[], None] | None = None

    def written(self) -> None:
        """The transaction is durable: the outbox may be emptied."""
        if self.on_written is not None:
            self.on_written()

    def acted(
        self,
        connection: Transaction,
        action: str,
        target: str,
        *,
        before: str = "",
        after: str = "",
        detail: str = "",
    ) -> None:
        """Whoever acts did this; ``before`` and ``after`` are etags. Never a secret."""
        who, now = actor(), iso(self._clock.now())
        text = detail if len(detail) <= DETAIL_CHARS_MAX else detail[:DETAIL_CHARS_MAX] + "…"
        audit_rows.insert(connection, Entry(now, who.who, who.origin, action, target, before, after, text))

    def created(self, connection: Transaction, row: IdentityRow) -> None:
        """An identity and its twin were made."""
        kind = _kind(row.identity)
        self.acted(connection, f"{kind}.create", row.identity.client_id, after=row.etag)
        self._lifecycle(connection, f"create{kind.capitalize()}Identity", row)

    def deleted(self, connection: Transaction, row: IdentityRow) -> None:
        """An identity is about to be removed."""
        kind = _kind(row.identity)
        self.acted(connection, f"{kind}.delete", row.identity.client_id, before=row.etag)
        self._lifecycle(connection, f"delete{kind.capitalize()}Identity", row)

    def updated(self, connection: Transaction, old: IdentityRow, new: IdentityRow) -> None:
        """An identity was changed."""
        changed = [name for name in _COMPARED if getattr(old, name) != getattr(new, name)]
        self.acted(
            connection,
            f"{_kind(new.identity)}.update",
            new.identity.client_id,
            before=old.etag,
            after=new.etag,
            detail=", ".join(changed),
        )

    def twin_patched(
        self,
        connection: Transaction,
        identity: Identity,
        old: Twin,
        new: Twin,
        desired: Document | None,
    ) -> None:
        """A service merged into tags or desired properties; ``desired`` is its patch."""
        tags = difference(old.tags, new.tags)
        patch = {**({"tags": tags} if tags else {}), **({} if desired is None else {"desired": desired})}
        self._twin_acted(connection, "twin.update", identity, old, new, patch)
        self._event(connection, Source.TWIN, "updateTwin", identity, lambda: twin_updated(new, patch))

    def twin_replaced(self, connection: Transaction, identity: Identity, old: Twin, new: Twin) -> None:
        """A service replaced tags and desired properties."""
        patch = {
            "tags": difference(old.tags, new.tags),
            "desired": difference(old.desired.values, new.desired.values),
        }
        self._twin_acted(connection, "twin.replace", identity, old, new, patch)
        self._event(connection, Source.TWIN, "replaceTwin", identity, lambda: twin_replaced(new))

    def reported(self, connection: Transaction, identity: Identity, twin: Twin, patch: Document) -> None:
        """An identity reported; it is no change by somebody, so it is not audited."""
        body = {"reported": patch}
        self._event(connection, Source.TWIN, "updateTwin", identity, lambda: twin_updated(twin, body))

    def presence(self, connection: Transaction, identity: Identity, presence: Presence) -> None:
        """A connection began or ended."""
        word = "Connected" if presence.connected else "Disconnected"
        self._event(
            connection,
            Source.CONNECTION,
            f"{_kind(identity)}{word}",
            identity,
            lambda: connection_changed(outbox_rows.next_number(connection)),
        )

    def _lifecycle(self, connection: Transaction, operation: str, row: IdentityRow) -> None:
        identity = row.identity
        self._event(
            connection,
            Source.LIFECYCLE,
            operation,
            identity,
            lambda: lifecycle(identity, row.etag, twin_rows.load(connection, identity)),
        )

    def _twin_acted(
        self,
        connection: Transaction,
        action: str,
        identity: Identity,
        old: Twin,
        new: Twin,
        patch: Mapping[str, Any],
    ) -> None:
        named = [f"{part}.{name}" for part, members in patch.items() for name in members]
        detail = ", ".join(named)
        self.acted(connection, action, identity.client_id, before=old.etag, after=new.etag, detail=detail)

    def _event(
        self,
        connection: Transaction,
        source: Source,
        operation: str,
        identity: Identity,
        body: Callable[[], Document],
    ) -> None:
        if source not in self._sources:
            return
        now = iso(self._clock.now())
        message = hub_event(source, operation, identity, body(), self._hub_name, now)
        outbox_rows.insert(connection, identity, now, message)


def _kind(identity: Identity) -> str:
    return "device" if identity.module is None else "module"
