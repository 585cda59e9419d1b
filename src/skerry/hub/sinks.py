"""Sinks: events go on to web addresses as CloudEvents, in order, at least once, never for ever."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from skerry.clock import Clock, iso
from skerry.contract.sink import parse_sink
from skerry.errors import AlreadyExists, NotAllowed, NotFound, PreconditionFailed, SkerryError
from skerry.hub import etags, sink_rows
from skerry.hub.audit import Audit
from skerry.hub.fresh import fresh_etag
from skerry.hub.sink_rows import StoredSink
from skerry.hub.sink_worker import SinkWorker
from skerry.hub.telemetry import Telemetry
from skerry.service.tls import client_context
from skerry.store.storage import Storage, Transaction

log = logging.getLogger(__name__)

SINKS_MAX = 10
PAGE_MAX = 100
# After trouble of our own, such as a full disk.
AFTER_ERROR_S = 10.0


class Sinks:
    """The sinks of one hub; each has a worker of its own while the hub runs."""

    def __init__(
        self, database: Storage, telemetry: Telemetry, audit: Audit, hub_name: str, clock: Clock
    ) -> None:
        self._database = database
        self._audit = audit
        self._telemetry = telemetry
        self._hub_name = hub_name
        self._clock = clock
        self._workers: dict[str, asyncio.Task[None]] = {}

    async def put(
        self, document: Any, name: str, if_match: str | None, *, after: int | None
    ) -> dict[str, Any]:
        """Create (no ``if_match``) or change a sink; a new one begins after event ``after``, else the newest.

        Raises InvalidInput, AlreadyExists, NotFound, PreconditionFailed, NotAllowed (too many).
        """
        sink = parse_sink(document, name)
        if sink.ca is not None:
            client_context(sink.ca)
        begin = await self._telemetry.newest() if after is None else after
        now, etag = iso(self._clock.now()), fresh_etag()

        def work(connection: Transaction) -> str:
            if if_match is not None:
                old = _load(connection, name)
                _check(old, if_match)
                sink_rows.update(connection, sink, etag)
                return old.etag
            if sink_rows.find(connection, name) is not None:
                raise AlreadyExists(f"there is a sink {name!r} already", hint="send If-Match to change it")
            if len(sink_rows.listed(connection)) >= SINKS_MAX:
                raise NotAllowed(f"there are {SINKS_MAX} sinks", hint="delete one")
            sink_rows.insert(connection, sink, begin, now, etag)
            return ""

        before = await self._database.write(work)
        await self._audit.note("sink.update" if before else "sink.create", name, before=before, after=etag)
        log.info("sink %s to %s %s", name, sink.host, "created" if if_match is None else "changed")
        await self._restart(name)
        return await self.get(name)

    async def get(self, name: str) -> dict[str, Any]:
        """A sink with its progress, its secrets hidden; raises NotFound."""
        stored = await self._database.read(lambda connection: _load(connection, name))
        return _shown(stored, await self._telemetry.newest())

    async def listed(self) -> list[dict[str, Any]]:
        """All by name."""
        newest = await self._telemetry.newest()
        return [_shown(stored, newest) for stored in await self._database.read(sink_rows.listed)]

    async def delete(self, name: str, if_match: str | None) -> None:
        """Remove a sink with its dead letters; raises NotFound, PreconditionFailed."""

        def work(connection: Transaction) -> None:
            _check(_load(connection, name), if_match)
            sink_rows.delete(connection, name)

        await self._database.write(work)
        await self._audit.note("sink.delete", name)
        log.info("sink %s deleted", name)
        await self._stop(name)

    async def dead_letters(self, name: str, after: int = 0) -> list[dict[str, Any]]:
        """Events that could not be delivered, with the reason; raises NotFound."""

        def work(connection: Transaction) -> list[dict[str, Any]]:
            _load(connection, name)
            return sink_rows.dead_letters(connection, name, after, PAGE_MAX)

        return await self._database.read(work)

    async def drop_dead_letters(self, name: str, through: int) -> int:
        """Forget those up to a number; how many. Raises NotFound."""

        def work(connection: Transaction) -> int:
            _load(connection, name)
            return sink_rows.drop_dead_letters(connection, name, through)

        return await self._database.write(work)

    async def start(self) -> None:
        """Begin to deliver."""
        for stored in await self._database.read(sink_rows.listed):
            await self._restart(stored.sink.name)

    async def close(self) -> None:
        """Stop delivering; what was under way comes again after the next start."""
        for name in list(self._workers):
            await self._stop(name)

    async def _restart(self, name: str) -> None:
        await self._stop(name)
        worker = SinkWorker(self._database, self._telemetry, self._hub_name, name, self._clock)
        self._workers[name] = asyncio.create_task(self._keep(worker, name), name=f"sink {name}")

    async def _stop(self, name: str) -> None:
        task = self._workers.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _keep(self, worker: SinkWorker, name: str) -> None:
        while True:
            try:
                return await worker.run()
            except SkerryError as error:
                log.error("sink %s rests: %s", name, error)
                await self._clock.sleep(AFTER_ERROR_S)


def _load(connection: Transaction, name: str) -> StoredSink:
    stored = sink_rows.find(connection, name)
    if stored is None:
        raise NotFound(f"there is no sink {name[:60]!r}", field="name")
    return stored


def _check(stored: StoredSink, if_match: str | None) -> None:
    if if_match is not None and not etags.matches(if_match, stored.etag):
        raise PreconditionFailed(f"sink {stored.sink.name} has changed", hint="read it again")


def _shown(stored: StoredSink, newest: int) -> dict[str, Any]:
    return {
        "name": stored.sink.name,
        **stored.sink.document(secret=False),
        "position": stored.position,
        "behind": newest - stored.position,
        "delivered": stored.delivered,
        "deadLettered": stored.dead,
        "lastError": stored.last_error,
        "created": stored.created,
        "etag": stored.etag,
    }
