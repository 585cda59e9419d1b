"""Exports and imports of the whole registry, to and from a blob container (contract.md §4.2)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from skerry.clock import Clock, iso
from skerry.contract.export_import import ERRORS_NAME, Transfer, blob_uri, exported, parse_transfer
from skerry.contract.json_text import parse_json
from skerry.errors import InvalidInput, NotFound, SkerryError, Throttled, Unavailable
from skerry.hub import identity_rows, twin_rows
from skerry.hub.actor import Actor, acting, actor
from skerry.hub.audit import Audit
from skerry.hub.bulk import Bulk
from skerry.hub.fresh import fresh_lock
from skerry.service.tls import client_context
from skerry.store.storage import Storage, Transaction

log = logging.getLogger(__name__)

Json = dict[str, Any]
Key = tuple[str, str]
# Jobs remembered, of which one may run: Azure's bound.
JOBS_MAX = 100
# One call to the bulk verb, Azure's bound as well.
LINES_AT_ONCE = 100
ROWS_AT_ONCE = 500
LINE_BYTES_MAX = 1024 * 1024
TIMEOUT_S = 60.0


@dataclass(slots=True)
class Job:
    """One transfer and how it goes; times are ISO."""

    id: str
    transfer: Transfer
    started: str
    status: str = "running"
    ended: str | None = None
    reason: str | None = None
    done: int = 0
    failed: int = 0

    def document(self) -> Json:
        """As Azure's JobProperties; without the containers' tokens."""
        return {
            "jobId": self.id,
            "startTimeUtc": self.started,
            "endTimeUtc": self.ended,
            "type": self.transfer.type,
            "status": self.status,
            "progress": 100 if self.status == "completed" else 0,
            "inputBlobContainerUri": _bare(self.transfer.source),
            "outputBlobContainerUri": _bare(self.transfer.target),
            "excludeKeysInExport": self.transfer.without_keys,
            "failureReason": self.reason,
        }


class Transfers:
    """Jobs live as long as the process: one that a stop interrupts is asked for again."""

    def __init__(self, database: Storage, bulk: Bulk, audit: Audit, clock: Clock) -> None:
        self._database = database
        self._bulk = bulk
        self._audit = audit
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._running: tuple[str, asyncio.Task[None]] | None = None

    async def create(self, document: Any) -> Json:
        """Begin one. Raises InvalidInput, Throttled (another runs)."""
        transfer = parse_transfer(document)
        if self._running is not None and not self._running[1].done():
            raise Throttled("another import or export runs", hint="wait for it, or cancel it")
        job = Job(fresh_lock(), transfer, iso(self._clock.now()))
        self._jobs[job.id] = job
        for old in list(self._jobs)[:-JOBS_MAX]:
            del self._jobs[old]
        self._running = (
            job.id,
            asyncio.create_task(self._run(job, actor()), name=f"{transfer.type} {job.id}"),
        )
        await self._audit.note(f"registry.{transfer.type}", job.id)
        return job.document()

    def get(self, job: str) -> Json:
        """Raises NotFound."""
        return self._find(job).document()

    def listed(self) -> list[Json]:
        """The newest last."""
        return [job.document() for job in self._jobs.values()]

    async def cancel(self, job: str) -> None:
        """Stop it where it is; what is imported stays. Raises NotFound."""
        found = self._find(job)
        if self._running is not None and self._running[0] == job:
            self._running[1].cancel()
            await asyncio.wait({self._running[1]})
        if found.status == "running":
            found.status, found.ended = "cancelled", iso(self._clock.now())

    async def close(self) -> None:
        """Stop what runs."""
        if self._running is not None:
            await self.cancel(self._running[0])

    def _find(self, job: str) -> Job:
        if job not in self._jobs:
            raise NotFound(f"there is no job {job[:60]!r}", hint="jobs are forgotten when the hub stops")
        return self._jobs[job]

    async def _run(self, job: Job, who: Actor) -> None:
        try:
            async with httpx.AsyncClient(
                verify=client_context(None, system_roots=True), timeout=TIMEOUT_S, trust_env=False
            ) as http:
                with acting(Actor(f"{who.who}, {job.transfer.type} {job.id}", who.origin)):
                    await (self._export if job.transfer.type == "export" else self._import)(http, job)
            job.status = "completed"
        except (SkerryError, httpx.HTTPError) as error:
            job.status, job.reason = "failed", f"{type(error).__name__}: {error}"[:300]
        job.ended = iso(self._clock.now())
        log.info("%s %s %s: %d lines, %d failed", job.transfer.type, job.id, job.status, job.done, job.failed)

    async def _export(self, http: httpx.AsyncClient, job: Job) -> None:
        transfer = job.transfer
        assert transfer.target is not None
        # A blob is put with its length: the lines are counted before they are sent.
        lines = [line async for line in self._lines(with_keys=not transfer.without_keys)]
        job.done = len(lines)
        await _put(http, blob_uri(transfer.target, transfer.target_name), b"".join(lines))

    async def _lines(self, *, with_keys: bool) -> AsyncIterator[bytes]:
        after = ("", "")
        while True:
            found = await self._rows(after, with_keys=with_keys)
            for _, line in found:
                yield line
            if len(found) < ROWS_AT_ONCE:
                return
            after = found[-1][0]

    async def _rows(self, after: Key, *, with_keys: bool) -> list[tuple[Key, bytes]]:
        return await self._database.read(lambda c: list(_exported(c, after, with_keys=with_keys)))

    async def _import(self, http: httpx.AsyncClient, job: Job) -> None:
        transfer = job.transfer
        assert transfer.source is not None
        errors: list[Json] = []
        batch: list[Any] = []
        async with http.stream("GET", blob_uri(transfer.source, transfer.source_name)) as answer:
            if answer.is_error:
                raise Unavailable(f"the container answered {answer.status_code}")
            async for line in answer.aiter_lines():
                if not line.strip():
                    continue
                if len(line) > LINE_BYTES_MAX:
                    raise InvalidInput(f"a line is over {LINE_BYTES_MAX} bytes")
                batch.append(parse_json(line))
                if len(batch) == LINES_AT_ONCE:
                    errors += await self._take(job, batch)
                    batch = []
        errors += await self._take(job, batch)
        if transfer.target is not None:
            told = "".join(json.dumps(error) + "\n" for error in errors)
            await _put(http, blob_uri(transfer.target, ERRORS_NAME), told.encode())

    async def _take(self, job: Job, batch: list[Any]) -> list[Json]:
        if not batch:
            return []
        errors: list[Json] = (await self._bulk.run(batch))["errors"]
        job.done, job.failed = job.done + len(batch), job.failed + len(errors)
        return errors


def _exported(connection: Transaction, after: Key, *, with_keys: bool) -> Iterator[tuple[Key, bytes]]:
    """Devices, each before its modules."""
    sql = (
        "SELECT device, module FROM identities WHERE (device, module) > (?, ?)"
        " ORDER BY device, module LIMIT ?"
    )
    for device, module in connection.execute(sql, (*after, ROWS_AT_ONCE)).fetchall():
        identity = identity_rows.identity_of(device, module)
        record = identity_rows.load(connection, identity).record()
        line = exported(record, twin_rows.load(connection, identity), with_keys=with_keys)
        yield (device, module), json.dumps(line).encode() + b"\n"


async def _put(http: httpx.AsyncClient, uri: str, content: bytes) -> None:
    answer = await http.put(uri, content=content, headers={"x-ms-blob-type": "BlockBlob"})
    if answer.is_error:
        raise Unavailable(f"the container answered {answer.status_code}")


def _bare(uri: str | None) -> str | None:
    return None if uri is None else uri.partition("?")[0]
