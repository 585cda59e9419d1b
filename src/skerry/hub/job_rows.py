"""Scheduled jobs and what they do to each device, as rows; everything here runs inside a transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skerry.errors import NotFound
from skerry.store.storage import Transaction

Json = dict[str, Any]
_COLUMNS = "id, type, status, document, created, starts, started, ended, reason"
# How a device's part stands, in the words of the service API; the last three are final.
WAITING, RUNNING, COMPLETED, FAILED, CANCELLED = "pending", "running", "completed", "failed", "canceled"


@dataclass(frozen=True, slots=True)
class Job:
    """A job; ``document`` is what was asked for, times are ISO text in UTC."""

    id: str
    type: str
    status: str
    document: Json
    created: str
    starts: str
    started: str | None = None
    ended: str | None = None
    reason: str | None = None


def insert(connection: Transaction, job: Job) -> None:
    values = (job.id, job.type, job.status, json.dumps(job.document), job.created, job.starts)
    connection.execute(
        "INSERT INTO jobs (id, type, status, document, created, starts) VALUES (?, ?, ?, ?, ?, ?)", values
    )


def find(connection: Transaction, job: str) -> Job | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job,)).fetchone()
    return None if row is None else _job(row)


def load(connection: Transaction, job: str) -> Job:
    """The job; raises NotFound."""
    found = find(connection, job)
    if found is None:
        raise NotFound(f"there is no job {job[:128]!r}", hint="look at its id", id=job[:128])
    return found


def listed(
    connection: Transaction, job_type: str | None, status: str | None, after: str, limit: int
) -> list[Job]:
    """Jobs by id, of one type and status where given."""
    sql = (
        f"SELECT {_COLUMNS} FROM jobs WHERE id > ? AND type = coalesce(?, type)"
        " AND status = coalesce(?, status) ORDER BY id LIMIT ?"
    )
    return [_job(row) for row in connection.execute(sql, (after, job_type, status, limit))]


def unfinished(connection: Transaction) -> list[Job]:
    """Jobs that are to run or run, the one that is due first."""
    sql = f"SELECT {_COLUMNS} FROM jobs WHERE ended IS NULL ORDER BY starts, id"
    return [_job(row) for row in connection.execute(sql)]


def start(connection: Transaction, job: str, devices: Sequence[str], now: str) -> None:
    """The job runs, over these devices."""
    connection.execute("UPDATE jobs SET status = 'running', started = ? WHERE id = ?", (now, job))
    connection.executemany(
        "INSERT OR IGNORE INTO device_jobs (job, device, status, updated) VALUES (?, ?, ?, ?)",
        [(job, device, WAITING, now) for device in devices],
    )


def finish(connection: Transaction, job: str, status: str, now: str, reason: str | None = None) -> None:
    """The job ends; parts that have not are what it is: cancelled or failed."""
    part = CANCELLED if status == "cancelled" else FAILED
    connection.execute(
        "UPDATE device_jobs SET status = ?, ended = ?, updated = ?, outcome = coalesce(outcome, ?)"
        " WHERE job = ? AND status IN (?, ?)",
        (part, now, now, json.dumps({"error": reason or f"the job was {status}"}), job, WAITING, RUNNING),
    )
    sql = "UPDATE jobs SET status = ?, ended = ?, reason = ? WHERE id = ? AND ended IS NULL"
    connection.execute(sql, (status, now, reason, job))


def waiting(connection: Transaction, job: str, limit: int) -> list[str]:
    """The next devices of a job by name."""
    sql = "SELECT device FROM device_jobs WHERE job = ? AND status = ? ORDER BY device LIMIT ?"
    return [device for (device,) in connection.execute(sql, (job, WAITING, limit))]


def interrupted(connection: Transaction, job: str) -> list[str]:
    """The devices whose part was under way when the hub stopped."""
    sql = "SELECT device FROM device_jobs WHERE job = ? AND status = ? ORDER BY device"
    return [device for (device,) in connection.execute(sql, (job, RUNNING))]


def begin_part(connection: Transaction, job: str, device: str, now: str) -> bool:
    """Whether the part was still waiting; it runs then."""
    sql = (
        "UPDATE device_jobs SET status = ?, started = ?, updated = ?"
        " WHERE job = ? AND device = ? AND status = ?"
    )
    return connection.execute(sql, (RUNNING, now, now, job, device, WAITING)).rowcount == 1


def end_part(
    connection: Transaction, job: str, device: str, status: str, outcome: Json | None, now: str
) -> None:
    """A part ended, or waits again."""
    sql = (
        "UPDATE device_jobs SET status = ?, ended = ?, updated = ?, outcome = ?"
        " WHERE job = ? AND device = ? AND status = ?"
    )
    ended = None if status == WAITING else now
    text = None if outcome is None else json.dumps(outcome)
    connection.execute(sql, (status, ended, now, text, job, device, RUNNING))


def statistics(connection: Transaction, job: str) -> Json:
    """The progress of a job."""
    sql = "SELECT status, count(*) FROM device_jobs WHERE job = ? GROUP BY status"
    counts = dict(connection.execute(sql, (job,)).fetchall())
    return {
        "deviceCount": sum(counts.values()),
        "failedCount": counts.get(FAILED, 0),
        "succeededCount": counts.get(COMPLETED, 0),
        "runningCount": counts.get(RUNNING, 0),
        "pendingCount": counts.get(WAITING, 0),
    }


def device_job(connection: Transaction, job: str, device: str) -> Json:
    """One device's part as ``FROM devices.jobs`` shows it."""
    sql = (
        "SELECT j.type, d.status, j.created, d.started, d.ended, d.updated, d.outcome FROM device_jobs AS d"
        " JOIN jobs AS j ON j.id = d.job WHERE d.job = ? AND d.device = ?"
    )
    job_type, status, created, started, ended, updated, outcome = connection.execute(
        sql, (job, device)
    ).fetchone()
    return {
        "deviceId": device,
        "jobId": job,
        "jobType": job_type,
        "status": status,
        "createdDateTimeUtc": created,
        "startTimeUtc": started,
        "endTimeUtc": ended,
        "lastUpdatedDateTimeUtc": updated,
        **({} if outcome is None else {"outcome": json.loads(outcome)}),
    }


def job_json(connection: Transaction, job: Job) -> Json:
    """The JobResponse of the service API (contract §4.7)."""
    asked = job.document
    return {
        "jobId": job.id,
        "type": job.type,
        "status": job.status,
        "createdTime": job.created,
        "startTime": job.started or job.starts,
        "endTime": job.ended,
        "maxExecutionTimeInSeconds": asked["maxExecutionTimeInSeconds"],
        "queryCondition": asked["queryCondition"],
        **{name: asked[name] for name in ("cloudToDeviceMethod", "updateTwin") if name in asked},
        "deviceJobStatistics": statistics(connection, job.id),
        "failureReason": job.reason,
        "statusMessage": None,
    }


def _job(row: Sequence[Any]) -> Job:
    job, job_type, status, document, created, starts, started, ended, reason = row
    return Job(job, job_type, status, json.loads(document), created, starts, started, ended, reason)
