"""Bringing configurations to the devices they are for, whenever either changes (contract §6.11)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from skerry.clock import Clock, iso
from skerry.contract.configuration import Configuration, Kind, apply_parts, parse_configuration, updated
from skerry.contract.names import Identity
from skerry.contract.query_expression import paths
from skerry.contract.twin import difference
from skerry.errors import SkerryError
from skerry.hub import configuration_rows, identity_rows, twin_rows
from skerry.hub.actor import Actor, acting
from skerry.hub.changes import CONNECTION_STATE, REPORTED, Changes
from skerry.hub.deployments import Deployments, apply_manifest
from skerry.hub.journal import Journal
from skerry.hub.owners import Owners
from skerry.hub.rollout_plan import Decision, describe, plan
from skerry.hub.twins import DesiredChange, Twins, patched
from skerry.store.storage import Storage, Transaction

log = logging.getLogger(__name__)

Json = dict[str, Any]

# Devices weighed between two looks at what changed meanwhile.
BATCH = 64
PLAN_SHOWN_MAX = 1000


class Rollout:
    """Takes note of changes and works them off; each device is one transaction, so that all of a deployment
    is on it or nothing."""

    def __init__(
        self,
        database: Storage,
        owners: Owners,
        deployments: Deployments,
        twins: Twins,
        changes: Changes,
        journal: Journal,
        clock: Clock,
    ) -> None:
        self._owners = owners
        self._journal = journal
        self._database = database
        self._deployments = deployments
        self._twins = twins
        self._clock = clock
        self._changed: set[Identity] = set()
        self._all = True
        self._wake = asyncio.Event()
        self._configurations: Sequence[Configuration] = ()
        # What the target conditions read of what changes often.
        self._read: frozenset[str] = frozenset()
        changes.listen(self._note)

    def configurations_changed(self) -> None:
        """Every device has to be weighed again."""
        self._all = True
        self._wake.set()

    async def run(self) -> None:
        """Work off changes, for ever. What was noted before a stop of the hub is found by weighing all."""
        self._all = True
        while True:
            self._wake.clear()
            if self._all:
                self._all = False
                self._changed |= set(await self._everyone())
            while self._changed and not self._all:
                batch = [self._changed.pop() for _ in range(min(BATCH, len(self._changed)))]
                await self._settle(batch)
            if not self._all:
                await self._wake.wait()

    async def plan(self, document: Any, name: str) -> list[Json]:
        """What a configuration would change, device by device, before it is there. Raises InvalidInput."""
        wanted, presences = parse_configuration(document, name), self._owners.presences()

        def work(connection: Transaction) -> list[Json]:
            known = configuration_rows.listed(connection)
            now, old = iso(self._clock.now()), configuration_rows.find(connection, name)
            new = updated(old, wanted, now, "") if old else replace(wanted, created=now)
            others = [configuration for configuration in known if configuration.id != name]
            found = []
            for identity in _identities(connection, [new]):
                decision = plan(connection, identity, [*others, new], presences)
                if decision is not None and decision.changed:
                    found.append(describe(connection, decision))
            return found[:PLAN_SHOWN_MAX]

        return await self._database.read(work)

    def _note(self, identity: Identity, what: str) -> None:
        if not self._configurations or (what in (REPORTED, CONNECTION_STATE) and what not in self._read):
            return
        if identity.module is not None and not any(c.kind is Kind.MODULE for c in self._configurations):
            return
        self._changed.add(identity)
        self._wake.set()

    async def _everyone(self) -> list[Identity]:
        def work(connection: Transaction) -> tuple[list[Configuration], list[Identity]]:
            known = configuration_rows.listed(connection)
            return known, _identities(connection, known)

        self._configurations, identities = await self._database.read(work)
        self._read = frozenset(what for c in self._configurations for what in _reads(c))
        return identities

    async def _settle(self, batch: Sequence[Identity]) -> None:
        known, presences = self._configurations, self._owners.presences()

        def work(connection: Transaction) -> list[Identity]:
            decisions = [plan(connection, identity, known, presences) for identity in batch]
            return [decision.identity for decision in decisions if decision and decision.changed]

        due = await self._database.read(work)
        await asyncio.gather(*[self._apply(identity, known) for identity in due])

    async def _apply(self, identity: Identity, known: Sequence[Configuration]) -> None:
        now, presences = iso(self._clock.now()), self._owners.presences()

        def work(
            connection: Transaction,
        ) -> tuple[Decision, list[DesiredChange], list[Identity]] | None:
            decision = plan(connection, identity, known, presences)
            return None if decision is None else (decision, *self._carry_out(connection, decision, now))

        try:
            with acting(Actor("configurations")):
                done = await self._database.write(work)
        except SkerryError as exc:
            # The next change of the device, or of a configuration, tries again.
            log.error("configurations not applied to %s: %s", identity, exc)
            return
        if done is None:
            return
        decision, changes, removed = done
        self._deployments.tell(changes, removed)
        log.info(
            "configurations of %s: %s%s",
            identity,
            ", ".join(f"{name} {status.value}" for name, status in sorted(decision.statuses.items()))
            or "none",
            f" ({decision.problem})" if decision.problem else "",
        )

    def _carry_out(
        self, connection: Transaction, decision: Decision, now: str
    ) -> tuple[list[DesiredChange], list[Identity]]:
        changes: list[DesiredChange] = []
        removed: list[Identity] = []
        if decision.content is not None and decision.manifest is not None:
            changes, removed = apply_manifest(
                connection, self._journal, decision.identity.device, decision.manifest, now
            )
        elif decision.content is not None:
            old = twin_rows.load(connection, decision.identity)
            parts = next(iter(decision.content.values()))
            patch = difference(old.desired.values, apply_parts(old.desired.values, parts))
            if patch:
                twin, change = patched(decision.identity, old, None, patch, now)
                twin_rows.save(connection, decision.identity, twin)
                self._journal.twin_patched(connection, decision.identity, old, twin, patch)
                changes = [change] if change else []
        configuration_rows.save_states(connection, decision.holder, decision.statuses, decision.removed)
        configuration_rows.save_digest(connection, decision.identity, decision.digest)
        return changes, removed


def _identities(connection: Transaction, configurations: Sequence[Configuration]) -> list[Identity]:
    """All devices; modules too when a configuration is for modules, or once was."""
    found = [row.identity for row in identity_rows.devices(connection, -1)]
    kinds = {configuration.kind for configuration in configurations}
    rows = connection.execute("SELECT DISTINCT device, module FROM configured WHERE module <> ''").fetchall()
    if Kind.MODULE in kinds:
        rows = connection.execute("SELECT device, module FROM identities WHERE module <> ''").fetchall()
    return [*found, *(Identity.parse(f"{device}/{module}") for device, module in rows)]


def _reads(configuration: Configuration) -> Iterator[str]:
    """What the target condition reads of an identity that a service does not write."""
    condition = configuration.target.condition if configuration.target else None
    for path in paths(condition) if condition else []:
        if path.steps[:2] == ("properties", "reported"):
            yield REPORTED
        elif path.steps[:1] in [("connectionState",), ("connectionStateUpdatedTime",), ("lastActivityTime",)]:
            yield CONNECTION_STATE
