"""The register of devices and modules: who exists, with which keys, allowed or not (contract §4.1-4.3)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from skerry.clock import Clock, iso
from skerry.contract.names import AGENT_MODULE, HUB_MODULE, DeviceId, Identity, ModuleId
from skerry.contract.resources import DeviceRecord, DeviceRequest, ModuleRecord, ModuleRequest, edge_scope
from skerry.errors import AlreadyExists, InvalidInput, NotAllowed, PreconditionFailed
from skerry.hub import etags, identity_rows
from skerry.hub.changes import CONNECTION_STATE, Changes
from skerry.hub.identity_rows import Admission, IdentityRow
from skerry.hub.journal import Journal
from skerry.hub.owners import Owners, Presence
from skerry.hub.subscriptions import key
from skerry.store.storage import Storage, Transaction

log = logging.getLogger(__name__)

# Azure's bound on one page of GET /devices.
DEVICES_TOP_MAX = 1000


@dataclass(frozen=True, slots=True)
class Counts:
    """How many devices are registered."""

    total: int
    enabled: int


class Registry:
    """The identities of one hub. Changes are durable when a verb returns, and give a new etag."""

    def __init__(
        self,
        database: Storage,
        owners: Owners,
        clock: Clock,
        changes: Changes,
        journal: Journal,
        modules_max: int,
    ) -> None:
        self._modules_max = modules_max
        self._changes = changes
        self._journal = journal
        self._database = database
        self._owners = owners
        self._clock = clock

    def device(self, device: DeviceId) -> DeviceRecord:
        """The device with its keys; raises NotFound."""
        record = self._now(self.require(Identity(device))).record()
        assert isinstance(record, DeviceRecord)
        return record

    def module(self, identity: Identity) -> ModuleRecord:
        """The module with its keys; raises NotFound."""
        record = self._now(self.require(identity)).record()
        assert isinstance(record, ModuleRecord)
        return record

    def find(self, identity: Identity) -> IdentityRow | None:
        """The row of an identity, ``None`` when it is not registered."""
        return self._database.read_now(lambda connection: identity_rows.find(connection, identity))

    def require(self, identity: Identity) -> IdentityRow:
        """The row of an identity that must exist; raises NotFound."""
        return self._database.read_now(lambda connection: identity_rows.load(connection, identity))

    async def devices(self, top: int = DEVICES_TOP_MAX) -> list[DeviceRecord]:
        """Devices by name, at most ``top`` and at most 1000."""
        rows = await self._database.read(
            lambda connection: identity_rows.devices(connection, min(top, DEVICES_TOP_MAX))
        )
        records = [self._now(row).record() for row in rows]
        return [record for record in records if isinstance(record, DeviceRecord)]

    def modules(self, device: DeviceId) -> list[ModuleRecord]:
        """The modules of a device by name; raises NotFound for an unknown device."""
        self.require(Identity(device))
        rows = self._database.read_now(lambda connection: identity_rows.modules_of(connection, device))
        records = [self._now(row).record() for row in rows]
        return [record for record in records if isinstance(record, ModuleRecord)]

    async def put_device(self, request: DeviceRequest, if_match: str | None) -> DeviceRecord:
        """Create (no ``if_match``) or update a device.

        Raises AlreadyExists, NotFound, PreconditionFailed, InvalidInput (an edge device that would stop being
        one or change its scope).
        """
        identity, now = Identity(request.device_id), iso(self._clock.now())

        def update(old: IdentityRow) -> IdentityRow:
            return _updated_device(old, request, now)

        def create() -> IdentityRow:
            return _updated_device(IdentityRow(identity), request, now)

        await self._put(identity, create, update, if_match, now)
        if request.status != "enabled":
            self._close_all(request.device_id, "device disabled")
        return self.device(request.device_id)

    async def put_module(self, request: ModuleRequest, if_match: str | None) -> ModuleRecord:
        """Create (no ``if_match``) or update a module; raises as ``put_device``."""
        identity, now = Identity(request.device_id, request.module_id), iso(self._clock.now())

        def update(old: IdentityRow) -> IdentityRow:
            return _updated_module(old, request)

        def create() -> IdentityRow:
            return _updated_module(IdentityRow(identity, status_updated=now), request)

        await self._put(identity, create, update, if_match, now)
        return self.module(identity)

    async def delete(self, identity: Identity, if_match: str | None) -> None:
        """Remove an identity and end its connection; a device takes its modules along.

        Raises NotFound, PreconditionFailed, NotAllowed (a system module).
        """
        if identity.module in (AGENT_MODULE, HUB_MODULE):
            raise NotAllowed(
                f"{identity.module} belongs to the edge device", hint="delete the device instead"
            )

        def work(connection: Transaction) -> list[Identity]:
            row = identity_rows.load(connection, identity)
            _check_etag(row, if_match)
            gone = [row]
            if identity.module is None:
                gone = [*identity_rows.modules_of(connection, identity.device), row]
            for one in gone:
                self._journal.deleted(connection, one)
            identity_rows.delete(connection, identity)
            return [one.identity for one in gone]

        for gone in await self._database.write(work):
            self._owners.forget(gone)
        self._changes.tell(identity)
        log.info("deleted %s", identity.client_id)

    def admission(self, identity: Identity) -> Admission | None:
        """Whether it may connect (a module with its device), and its keys; ``None``: not registered."""
        return self._database.read_now(lambda connection: identity_rows.admission(connection, identity))

    def is_child(self, device: DeviceId, of: DeviceId) -> bool:
        """Whether a device is in the scope of an edge device."""

        def work(connection: Transaction) -> bool:
            child = identity_rows.find(connection, Identity(device))
            edge = identity_rows.find(connection, Identity(of))
            if child is None or edge is None or not edge.device_scope:
                return False
            return edge.device_scope in (child.device_scope, *child.parent_scopes)

        return self._database.read_now(work)

    async def children(self, of: DeviceId) -> list[DeviceRecord]:
        """The devices in the scope of an edge device. Raises NotFound."""

        def work(connection: Transaction) -> list[DeviceRecord]:
            scope = identity_rows.load(connection, Identity(of)).device_scope
            rows = identity_rows.in_scope(connection, scope) if scope else []
            records = [row.record() for row in rows if row.identity.device != of]
            return [record for record in records if isinstance(record, DeviceRecord)]

        return await self._database.read(work)

    async def save_presences(self, moves: Sequence[tuple[Identity, Presence]]) -> None:
        """Keep when identities connected or left, in order; one that was deleted meanwhile is left out."""
        sql = (
            "UPDATE identities SET connection_updated = ?, last_activity = ? WHERE device = ? AND module = ?"
        )

        def work(connection: Transaction) -> None:
            for identity, presence in moves:
                values = (presence.updated, presence.last_activity, *key(identity))
                if connection.execute(sql, values).rowcount:
                    self._journal.presence(connection, identity, presence)

        await self._database.write(work)
        for identity, _ in moves:
            self._changes.tell(identity, CONNECTION_STATE)

    async def keep_model(self, identity: Identity, model_id: str) -> None:
        """What an identity says is its DTDL model; written only when it says something new."""
        if self.require(identity).model_id == model_id:
            return
        sql = "UPDATE identities SET model_id = ? WHERE device = ? AND module = ?"
        await self._database.write(lambda c: c.execute(sql, (model_id, *key(identity))).rowcount)
        self._changes.tell(identity)

    async def counts(self) -> Counts:
        """How many devices there are."""
        sql = "SELECT count(*), coalesce(sum(status = 'enabled'), 0) FROM identities WHERE module = ''"
        total, enabled = await self._database.read(lambda connection: connection.execute(sql).fetchone())
        return Counts(total, enabled)

    async def _put(
        self,
        identity: Identity,
        create: Callable[[], IdentityRow],
        update: Callable[[IdentityRow], IdentityRow],
        if_match: str | None,
        now: str,
    ) -> None:
        def work(connection: Transaction) -> bool:
            if if_match is not None:
                old = identity_rows.load(connection, identity)
                _check_etag(old, if_match)
                changed = update(old).changed()
                identity_rows.save(connection, changed)
                self._journal.updated(connection, old, changed)
                self._ensure_system_modules(connection, changed, now)
                return _proof(changed) != _proof(old)
            if identity_rows.find(connection, identity) is not None:
                raise AlreadyExists(
                    f"{identity.client_id} exists already",
                    hint="send If-Match to update it",
                    id=identity.client_id,
                )
            _check_room(connection, identity, self._modules_max)
            fresh = create()
            identity_rows.create(connection, fresh, now)
            self._journal.created(connection, fresh)
            self._ensure_system_modules(connection, fresh, now)
            return False

        if await self._database.write(work):
            self._owners.close(identity, "its credentials changed")
        self._changes.tell(identity)
        log.info("%s %s", "created" if if_match is None else "updated", identity.client_id)

    def _ensure_system_modules(self, connection: Transaction, row: IdentityRow, now: str) -> None:
        if not row.iot_edge:
            return
        for name in (AGENT_MODULE, HUB_MODULE):
            identity = Identity(row.identity.device, ModuleId(name))
            if identity_rows.find(connection, identity) is None:
                module = identity_rows.new_module(identity, "", now)
                identity_rows.create(connection, module, now)
                self._journal.created(connection, module)

    def _close_all(self, device: DeviceId, reason: str) -> None:
        self._owners.close(Identity(device), reason)
        for module in self.modules(device):
            self._owners.close(module.identity, reason)

    def _now(self, row: IdentityRow) -> IdentityRow:
        """The row with the times of this process, which are newer than the stored ones."""
        presence = self._owners.presence(row.identity)
        if presence is None:
            return row
        return replace(row, connection_updated=presence.updated, last_activity=presence.last_activity)


def _updated_device(old: IdentityRow, request: DeviceRequest, now: str) -> IdentityRow:
    if old.iot_edge and not request.iot_edge:
        raise InvalidInput("an edge device stays one", hint="delete it first", path="capabilities.iotEdge")
    scope = old.device_scope if request.device_scope is None else request.device_scope
    if not scope and request.parent_scopes:
        scope = request.parent_scopes[0]
    if request.iot_edge:
        own = edge_scope(request.device_id, old.generation)
        if request.device_scope not in (None, "", own):
            raise InvalidInput(
                "the scope of an edge device is its own", hint="leave it out", path="deviceScope"
            )
        scope = own
    status_changed = old.status != request.status or old.status_reason != request.status_reason
    return replace(
        old,
        status=request.status,
        status_reason=request.status_reason,
        status_updated=now if status_changed else old.status_updated,
        auth_type=request.auth_type,
        keys=_keys(old, request),
        thumbprints=request.thumbprints,
        iot_edge=request.iot_edge,
        device_scope=scope,
        parent_scopes=request.parent_scopes,
    )


def _updated_module(old: IdentityRow, request: ModuleRequest) -> IdentityRow:
    return replace(
        old,
        auth_type=request.auth_type,
        keys=_keys(old, request),
        thumbprints=request.thumbprints,
        managed_by=request.managed_by,
    )


def _proof(row: IdentityRow) -> tuple[object, ...]:
    """All by which an identity proves itself."""
    return row.auth_type, row.keys, row.thumbprints


def _keys(old: IdentityRow, request: DeviceRequest | ModuleRequest) -> tuple[str, str]:
    """Given keys as they are; one that is not given stays (it was generated when the row was made)."""
    primary, secondary = old.keys
    return request.primary_key or primary, request.secondary_key or secondary


def _check_etag(row: IdentityRow, if_match: str | None) -> None:
    if if_match is not None and not etags.matches(if_match, row.etag):
        raise PreconditionFailed(
            f"{row.identity.client_id} has changed", hint="read it again and use its etag", etag=row.etag
        )


def _check_room(connection: Transaction, identity: Identity, modules_max: int) -> None:
    if identity.module is None:
        return
    identity_rows.load(connection, Identity(identity.device))
    if len(identity_rows.modules_of(connection, identity.device)) >= modules_max:
        raise NotAllowed(
            f"device {identity.device} has {modules_max} modules", code_name="TooManyModulesOnDevice"
        )
