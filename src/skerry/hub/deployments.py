"""Applying a deployment manifest to one edge device (contract §4.6)."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

from skerry.clock import Clock, iso
from skerry.contract.configuration import apply_parts
from skerry.contract.manifest import Manifest
from skerry.contract.names import AGENT_MODULE, SYSTEM_MODULES, DeviceId, Identity, ModuleId
from skerry.contract.twin import difference, validate_patch
from skerry.errors import InvalidInput
from skerry.hub import configuration_rows, identity_rows, twin_rows
from skerry.hub.changes import Changes
from skerry.hub.journal import Journal
from skerry.hub.owners import Owners
from skerry.hub.twins import DesiredChange, Twins, patched, replaced
from skerry.store.storage import Storage, Transaction

log = logging.getLogger(__name__)

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Who the identities are managed by that come and go with deployments (contract §4.3).
MANAGED_BY = "iotEdge"


class Deployments:
    """One manifest, one transaction: all of it happens or nothing."""

    def __init__(
        self,
        database: Storage,
        twins: Twins,
        owners: Owners,
        clock: Clock,
        changes: Changes,
        journal: Journal,
    ) -> None:
        self._changes = changes
        self._journal = journal
        self._database = database
        self._twins = twins
        self._owners = owners
        self._clock = clock

    async def pinned(self) -> set[str]:
        """The image digests that deployments name, of single devices and at scale."""

        def work(connection: Transaction) -> set[str]:
            texts = [
                *connection.execute("SELECT desired FROM twins WHERE module = ?", (AGENT_MODULE,)),
                *connection.execute("SELECT document FROM configurations"),
            ]
            return {digest for (text,) in texts for digest in DIGEST.findall(text)}

        return await self._database.read(work)

    async def apply(self, device: DeviceId, manifest: Manifest) -> None:
        """Make the device's modules and their desired properties what the manifest says.

        Modules of an earlier manifest that this one leaves out lose identity, twin and connection. Raises
        NotFound (device), InvalidInput (not an edge device).
        """
        for name in manifest.modules.keys() - SYSTEM_MODULES:
            validate_patch(manifest.modules[name], name=f"modulesContent.{name}.properties.desired")
        now = iso(self._clock.now())
        changes, removed = await self._database.write(
            lambda connection: self._by_hand(connection, device, manifest, now)
        )
        self.tell(changes, removed)
        self._changes.tell(Identity(device))
        log.info(
            "deployment applied to %s: modules %s, removed %s",
            device,
            sorted(manifest.agent.modules),
            sorted(identity.client_id for identity in removed),
        )

    async def apply_content(self, identity: Identity, parts: dict[str, Any]) -> None:
        """Write a device's or module's content, by the paths of its keys, into its desired properties.

        Raises NotFound, InvalidInput (what no twin may hold), TooLarge.
        """
        now = iso(self._clock.now())

        def work(connection: Transaction) -> DesiredChange | None:
            old = twin_rows.load(connection, identity)
            patch = difference(old.desired.values, apply_parts(old.desired.values, parts))
            validate_patch(patch, name="properties.desired")
            twin, change = patched(identity, old, None, patch, now)
            twin_rows.save(connection, identity, twin)
            configuration_rows.save_digest(connection, identity, None)
            action = f"{'device' if identity.module is None else 'module'}.applyConfigurationContent"
            self._journal.acted(connection, action, identity.client_id)
            self._journal.twin_patched(connection, identity, old, twin, patch)
            return change

        change = await self._database.write(work)
        self.tell([] if change is None else [change], [])
        self._changes.tell(identity)
        log.info("content applied to %s", identity.client_id)

    def tell(self, changes: Sequence[DesiredChange], removed: Sequence[Identity]) -> None:
        """After a manifest was applied: identities hear of their changes, removed ones are cut off."""
        self._journal.written()
        for identity in removed:
            self._owners.forget(identity)
        for change in changes:
            self._twins.tell(change)

    def _by_hand(
        self, connection: Transaction, device: DeviceId, manifest: Manifest, now: str
    ) -> tuple[list[DesiredChange], list[Identity]]:
        # A configuration that targets the device applies anew over this (contract §6.11).
        configuration_rows.save_digest(connection, Identity(device), None)
        self._journal.acted(connection, "device.applyConfigurationContent", str(device))
        return apply_manifest(connection, self._journal, device, manifest, now)


def apply_manifest(
    connection: Transaction, journal: Journal, device: DeviceId, manifest: Manifest, now: str
) -> tuple[list[DesiredChange], list[Identity]]:
    """Make it so inside a transaction; what to ``tell`` afterwards. Raises NotFound, InvalidInput."""
    if not identity_rows.load(connection, Identity(device)).iot_edge:
        raise InvalidInput(
            f"device {device} is not an edge device",
            hint="create it with capabilities.iotEdge = true",
            field="deviceId",
            value=str(device),
        )
    wanted = {Identity(device, ModuleId(name)) for name in {*manifest.modules, *manifest.agent.modules}}
    have = {row.identity: row for row in identity_rows.modules_of(connection, device)}
    for identity in sorted(wanted - have.keys()):
        managed_by = "" if identity.module in SYSTEM_MODULES else MANAGED_BY
        row = identity_rows.new_module(identity, managed_by, now)
        identity_rows.create(connection, row, now)
        journal.created(connection, row)
    removed = sorted(i for i, row in have.items() if row.managed_by == MANAGED_BY and i not in wanted)
    for identity in removed:
        journal.deleted(connection, have[identity])
        identity_rows.delete(connection, identity)
    changes = []
    for name, desired in manifest.modules.items():
        identity = Identity(device, ModuleId(name))
        old = twin_rows.load(connection, identity)
        twin, change = replaced(identity, old, old.tags, desired, now)
        twin_rows.save(connection, identity, twin)
        journal.twin_replaced(connection, identity, old, twin)
        changes.append(change)
    return changes, removed
