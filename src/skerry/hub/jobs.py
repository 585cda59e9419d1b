"""Scheduled jobs: a method call or a twin update over every device of a query (contract §4.7)."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from skerry.clock import Clock, iso
from skerry.contract.job import METHOD, STATUSES, JobRequest, parse_job
from skerry.contract.names import DeviceId, Identity
from skerry.errors import AlreadyExists, InvalidInput, SkerryError, Throttled
from skerry.hub import job_rows
from skerry.hub.actor import Actor, acting
from skerry.hub.job_rows import COMPLETED, FAILED, WAITING, Job
from skerry.hub.journal import Journal
from skerry.hub.methods import Methods
from skerry.hub.queries import Queries
from skerry.hub.twins import Twins
from skerry.store.storage import Storage, Transaction

log = logging.getLogger(__name__)

Json = dict[str, Any]

# Azure runs 10 of its jobs at a time; ours run one after the other, over this many devices at once.
DEVICES_AT_ONCE = 10
UNFINISHED_MAX = 100
PAGE_MAX = 1000
# The longest sleep before the runner looks at its jobs again, since the wall clock may be set.
LOOK_AGAIN_S = 30.0


class Jobs:
    """Jobs are rows; the runner takes them from there, so that a restart only interrupts them."""

    def __init__(
        self,
        database: Storage,
        queries: Queries,
        twins: Twins,
        methods: Methods,
        journal: Journal,
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._database = database
        self._queries = queries
        self._twins = twins
        self._methods = methods
        self._clock = clock
        self._wake = asyncio.Event()

    async def create(self, document: Any, job_id: str) -> Json:
        """Schedule a job. Raises InvalidInput, AlreadyExists, Throttled (too many are unfinished)."""
        request = parse_job(document, job_id)
        now = self._clock.now()
        starts = max(request.start or now, now)
        status = "scheduled" if starts > now else "queued"
        job = Job(request.id, request.type, status, request.document, iso(now), iso(starts))

        def work(connection: Transaction) -> Json:
            if job_rows.find(connection, job.id) is not None:
                raise AlreadyExists(f"there is a job {job.id!r} already", hint="choose another id", id=job.id)
            if len(job_rows.unfinished(connection)) >= UNFINISHED_MAX:
                raise Throttled(f"{UNFINISHED_MAX} jobs are unfinished", hint="wait for one or cancel one")
            job_rows.insert(connection, job)
            self._journal.acted(connection, "job.create", job.id, detail=job.type)
            return job_rows.job_json(connection, job)

        made = await self._database.write(work)
        log.info("job %s (%s) is %s for %s", job.id, job.type, job.status, job.starts)
        self._wake.set()
        return made

    async def get(self, job_id: str) -> Json:
        """One job with its progress; raises NotFound."""
        return await self._database.read(
            lambda connection: job_rows.job_json(connection, job_rows.load(connection, job_id))
        )

    async def page(
        self, job_type: str | None, status: str | None, size: int, after: str | None
    ) -> tuple[list[Json], str | None]:
        """Jobs by id, and the id to go on after when there are more."""
        if status is not None and status not in STATUSES:
            raise InvalidInput(
                "no such job status", hint=", ".join(STATUSES), field="jobStatus", value=status
            )
        limit = min(max(size, 1), PAGE_MAX)

        def work(connection: Transaction) -> list[Json]:
            jobs = job_rows.listed(connection, job_type, status, after or "", limit + 1)
            return [job_rows.job_json(connection, job) for job in jobs]

        found = await self._database.read(work)
        return found[:limit], found[limit - 1]["jobId"] if len(found) > limit else None

    async def cancel(self, job_id: str) -> Json:
        """Let no further device begin; what runs on a device is not undone. Raises NotFound."""
        now = iso(self._clock.now())

        def work(connection: Transaction) -> Json:
            job = job_rows.load(connection, job_id)
            if job.ended is None:
                job_rows.finish(connection, job_id, "cancelled", now)
                self._journal.acted(connection, "job.cancel", job_id)
            return job_rows.job_json(connection, job_rows.load(connection, job_id))

        cancelled = await self._database.write(work)
        log.info("job %s is %s", job_id, cancelled["status"])
        self._wake.set()
        return cancelled

    async def run(self) -> None:
        """Run what is due, for ever; start again after an error, as every step is in the database."""
        await self._recover()
        while True:
            self._wake.clear()
            unfinished = await self._database.read(job_rows.unfinished)
            now = self._clock.now()
            due = [job for job in unfinished if _moment(job.starts) <= now]
            if due:
                await self._run(due[0])
                continue
            starts = [(_moment(job.starts) - now).total_seconds() for job in unfinished]
            await self._sleep(min([LOOK_AGAIN_S, *starts]))

    async def _sleep(self, seconds: float) -> None:
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({timer, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (timer, woken):
                task.cancel()

    async def _recover(self) -> None:
        """Parts that a stop of the hub interrupted: updates are done again, calls may have happened."""
        now = iso(self._clock.now())
        unknown = {"error": "the hub stopped during the call; whether the device acted on it is not known"}

        def work(connection: Transaction) -> None:
            for job in job_rows.unfinished(connection):
                status, outcome = (FAILED, unknown) if job.type == METHOD else (WAITING, None)
                for device in job_rows.interrupted(connection, job.id):
                    job_rows.end_part(connection, job.id, device, status, outcome, now)

        await self._database.write(work)

    async def _run(self, job: Job) -> None:
        request = parse_job({"type": job.type, **job.document}, job.id)
        started = job.started
        if started is None:
            started = iso(self._clock.now())
            devices = [str(identity.device) for identity in await self._queries.identities(request.target)]
            now = started
            await self._database.write(lambda c: job_rows.start(c, job.id, devices, now))
            log.info("job %s runs on %d devices", job.id, len(devices))
        deadline = _moment(started) + timedelta(seconds=request.max_execution_s)
        while devices := await self._database.read(lambda c: job_rows.waiting(c, job.id, DEVICES_AT_ONCE)):
            if self._clock.now() >= deadline:
                await self._finish(job, "failed", "maxExecutionTimeInSeconds is over")
                return
            await asyncio.gather(*[self._part(request, DeviceId(device)) for device in devices])
        progress = (await self.get(job.id))["deviceJobStatistics"]
        await self._finish(job, "failed" if progress["failedCount"] else "completed")

    async def _part(self, request: JobRequest, device: DeviceId) -> None:
        job, now = request.id, iso(self._clock.now())
        if not await self._database.write(lambda c: job_rows.begin_part(c, job, device, now)):
            return
        try:
            with acting(Actor(f"job {job}")):
                status, outcome = await self._act(request, Identity(device))
        except SkerryError as exc:
            status, outcome = FAILED, {"error": str(exc)}
        ended = iso(self._clock.now())
        await self._database.write(lambda c: job_rows.end_part(c, job, device, status, outcome, ended))

    async def _act(self, request: JobRequest, identity: Identity) -> tuple[str, Json | None]:
        if request.method is not None:
            answer = await self._methods.invoke(identity, request.method)
            return COMPLETED, {"deviceMethodResponse": answer.to_json()}
        assert request.twin is not None
        await self._twins.patch(identity, request.twin, None)
        return COMPLETED, None

    async def _finish(self, job: Job, status: str, reason: str | None = None) -> None:
        now = iso(self._clock.now())
        await self._database.write(lambda c: job_rows.finish(c, job.id, status, now, reason))
        log.info("job %s has %s", job.id, "failed" if status == "failed" else status)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
