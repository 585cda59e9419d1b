"""Configurations: what is to be on many devices, kept and measured (contract §4.3, §6.11)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from skerry.clock import Clock, iso
from skerry.contract.configuration import (
    Configuration,
    configuration_json,
    parse_configuration,
    system_queries,
    updated,
)
from skerry.contract.names import Identity
from skerry.contract.query import parse_query
from skerry.errors import AlreadyExists, NotAllowed, PreconditionFailed
from skerry.hub import configuration_rows as rows
from skerry.hub import etags
from skerry.hub.fresh import fresh_etag
from skerry.hub.journal import Journal
from skerry.hub.queries import Queries
from skerry.hub.rollout import Rollout
from skerry.store.storage import Storage, Transaction

log = logging.getLogger(__name__)

Json = dict[str, Any]

# Azure's bound; each is weighed against every device that changes.
CONFIGURATIONS_MAX = 100


class Configurations:
    """The configurations of one hub; the rollout hears of every change."""

    def __init__(
        self, database: Storage, queries: Queries, rollout: Rollout, journal: Journal, clock: Clock
    ) -> None:
        self._database = database
        self._queries = queries
        self._rollout = rollout
        self._journal = journal
        self._clock = clock

    async def put(self, document: Any, name: str, if_match: str | None) -> Json:
        """Create (no ``if_match``) or update a configuration; an update keeps the content (§4.3).

        Raises InvalidInput, AlreadyExists, NotFound, PreconditionFailed, NotAllowed (too many).
        """
        wanted = parse_configuration(document, name)
        now = iso(self._clock.now())

        def work(connection: Transaction) -> Configuration:
            before = ""
            if if_match is not None:
                old = rows.load(connection, name)
                _check_etag(old, if_match)
                before = old.etag
                saved = updated(old, wanted, now, fresh_etag())
            else:
                _check_new(connection, name)
                saved = replace(wanted, created=now, updated=now, etag=fresh_etag())
            rows.save(connection, saved)
            action = "configuration.update" if before else "configuration.create"
            self._journal.acted(connection, action, name, before=before, after=saved.etag)
            return saved

        saved = await self._database.write(work)
        log.info("configuration %s %s", name, "created" if if_match is None else "updated")
        self._rollout.configurations_changed()
        return await self._measured(saved)

    async def get(self, name: str) -> Json:
        """One configuration with its metrics; raises NotFound."""
        return await self._measured(await self._database.read(lambda c: rows.load(c, name)))

    async def list(self, top: int) -> list[Json]:
        """Configurations by id with their metrics."""
        found = await self._database.read(lambda connection: rows.listed(connection, top))
        return [await self._measured(configuration) for configuration in found]

    async def delete(self, name: str, if_match: str | None) -> None:
        """Remove it; the next lower match applies where it did. Raises NotFound, PreconditionFailed."""

        def work(connection: Transaction) -> None:
            old = rows.load(connection, name)
            _check_etag(old, if_match)
            rows.delete(connection, name)
            self._journal.acted(connection, "configuration.delete", name, before=old.etag)

        await self._database.write(work)
        log.info("configuration %s deleted", name)
        self._rollout.configurations_changed()

    def states(self, identity: Identity) -> Json:
        """What configurations are to an identity, as its twin shows it."""
        found = self._database.read_now(lambda connection: rows.states(connection, identity))
        return {name: {"status": status.value} for name, status in found.items()}

    async def _measured(self, configuration: Configuration) -> Json:
        system = await self._counts(system_queries(configuration) if configuration.target else {})
        return configuration_json(configuration, system, await self._counts(configuration.metrics))

    async def _counts(self, queries: Mapping[str, str]) -> dict[str, int]:
        return {name: await self._queries.count(parse_query(text)) for name, text in queries.items()}


def _check_new(connection: Transaction, name: str) -> None:
    if rows.find(connection, name) is not None:
        raise AlreadyExists(
            f"there is a configuration {name!r} already",
            hint="send If-Match to update it",
            id=name,
            code_name="ConfigurationAlreadyExists",
        )
    if len(rows.listed(connection)) >= CONFIGURATIONS_MAX:
        raise NotAllowed(
            f"there are {CONFIGURATIONS_MAX} configurations",
            hint="delete one",
            code_name="IotHubQuotaExceeded",
        )


def _check_etag(configuration: Configuration, if_match: str | None) -> None:
    if if_match is not None and not etags.matches(if_match, configuration.etag):
        raise PreconditionFailed(
            f"configuration {configuration.id} has changed",
            hint="read it again and use its etag",
            etag=configuration.etag,
        )
