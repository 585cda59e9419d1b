"""A scheduled job as a service asks for it (contract.md §4.7)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from skerry.contract.json_text import Json, check_depth
from skerry.contract.member import Member
from skerry.contract.method import MethodRequest
from skerry.contract.query import Collection, Query, QuerySyntaxError, parse_target
from skerry.contract.twin import validate_patch

METHOD, UPDATE = "scheduleDeviceMethod", "scheduleUpdateTwin"
STATUSES = ("unknown", "enqueued", "queued", "scheduled", "running", "completed", "failed", "cancelled")
EXECUTION_DEFAULT_S = 3600
EXECUTION_MAX_S = 7 * 24 * 3600
_ID = re.compile(r"[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}")


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A checked job; exactly one of ``method`` and ``twin`` is there; ``start`` None is now."""

    id: str
    type: str
    target: Query
    start: datetime | None
    max_execution_s: int
    method: MethodRequest | None
    twin: dict[str, Any] | None
    document: dict[str, Any]


def parse_job(document: Json, url_id: str) -> JobRequest:
    """The body of PUT /jobs/v2/{id}; InvalidInput with ``path`` (and ``position`` in the query)."""
    check_depth(document)
    root = Member("", document)
    if not _ID.fullmatch(url_id):
        Member("jobId", url_id).refuse("1 to 128 of A-Z a-z 0-9 - : . + % _ # * ? ! ( ) , = @ ; $ '")
    if root["jobId"].given and root["jobId"].value != url_id:
        root["jobId"].refuse(f"the id in the URL, {url_id}")
    kind = root["type"].one_of((METHOD, UPDATE))
    seconds = root["maxExecutionTimeInSeconds"]
    # 0 is what a client sends that was told nothing.
    limit = seconds.integer(0, EXECUTION_MAX_S) if seconds.given else 0
    method = MethodRequest.parse(root["cloudToDeviceMethod"].members()) if kind == METHOD else None
    twin = _twin(root["updateTwin"]) if kind == UPDATE else None
    kept = ("cloudToDeviceMethod",) if kind == METHOD else ("updateTwin",)
    condition = root["queryCondition"]
    return JobRequest(
        id=url_id,
        type=kind,
        target=_target(condition),
        start=_time(root["startTime"]),
        max_execution_s=limit or EXECUTION_DEFAULT_S,
        method=method,
        twin=twin,
        document={
            **{name: root[name].value for name in kept},
            "queryCondition": condition.value,
            "maxExecutionTimeInSeconds": limit or EXECUTION_DEFAULT_S,
        },
    )


def _twin(member: Member) -> dict[str, Any]:
    """Tags and desired properties; the rest of what the SDKs send along does not count."""
    patch: dict[str, Any] = {}
    if member["tags"].given:
        validate_patch(member["tags"].members(), name=f"{member.path}.tags")
        patch["tags"] = member["tags"].value
    properties = member["properties"]
    if properties.given and properties["desired"].given:
        validate_patch(properties["desired"].members(), name=f"{member.path}.properties.desired")
        patch["properties"] = {"desired": properties["desired"].value}
    return patch if patch else member.refuse("tags or properties.desired")


def _target(member: Member) -> Query:
    try:
        target = parse_target(member.text())
    except QuerySyntaxError as exc:
        exc.fields["path"] = member.path
        raise
    if target is None or target.collection is not Collection.DEVICES:
        member.refuse("a condition on devices, or * for all")
    return target


def _time(member: Member) -> datetime | None:
    if not member.given or member.value == "":
        return None
    try:
        moment = datetime.fromisoformat(member.text())
    except ValueError:
        member.refuse("an ISO time such as 2026-11-22T08:30:00Z")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
