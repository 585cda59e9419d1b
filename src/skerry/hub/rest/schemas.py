"""The shapes of bodies and answers as JSON Schema, as far as a client has to know them (contract §4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "integer"}
OBJECT: Json = {"type": "object"}
STATUS: Json = {"type": "string", "enum": ["enabled", "disabled"]}
TIMEOUT_S: Json = {"type": "integer", "minimum": 0, "maximum": 300}


def record(*required: str, **members: Json) -> Json:
    """An object with these members, and maybe more."""
    found: Json = {"type": "object", "properties": members}
    return {**found, "required": list(required)} if required else found


_SECTIONS = record(desired=OBJECT, reported=OBJECT)
_CONFIGURATION = {
    "id": TEXT,
    "content": OBJECT,
    "targetCondition": TEXT,
    "priority": NUMBER,
    "labels": {"type": "object", "additionalProperties": TEXT},
    "metrics": record(queries={"type": "object", "additionalProperties": TEXT}),
}
_JOB = {
    "jobId": TEXT,
    "type": {"type": "string", "enum": ["scheduleDeviceMethod", "scheduleUpdateTwin"]},
    "queryCondition": TEXT,
    "startTime": TEXT,
    "maxExecutionTimeInSeconds": NUMBER,
    "cloudToDeviceMethod": OBJECT,
    "updateTwin": OBJECT,
}
_PROGRESS = ("deviceCount", "failedCount", "succeededCount", "runningCount", "pendingCount")

SCHEMAS: Mapping[str, Json] = {
    "Any": {},
    "Object": OBJECT,
    "Objects": {"type": "array", "items": OBJECT},
    "Text": TEXT,
    "Bytes": {"type": "string", "format": "binary"},
    "Error": record("Message", "ExceptionMessage", Message=TEXT, ExceptionMessage=TEXT),
    "ProvisioningError": record(
        "errorCode", "trackingId", "message", errorCode=NUMBER, trackingId=TEXT, message=TEXT
    ),
    "Device": record(
        deviceId=TEXT,
        status=STATUS,
        statusReason=TEXT,
        authentication=record(type=TEXT, symmetricKey=OBJECT, x509Thumbprint=OBJECT),
        capabilities=record(iotEdge={"type": "boolean"}),
        deviceScope=TEXT,
    ),
    "Module": record(moduleId=TEXT, deviceId=TEXT, managedBy=TEXT, authentication=OBJECT),
    "Identity": record(
        "deviceId",
        "generationId",
        "etag",
        "connectionState",
        deviceId=TEXT,
        generationId=TEXT,
        etag=TEXT,
        connectionState={"type": "string", "enum": ["Connected", "Disconnected"]},
        authentication=OBJECT,
    ),
    "BulkDevices": {
        "type": "array",
        "maxItems": 100,
        "items": record("id", "importMode", id=TEXT, importMode=TEXT, status=STATUS, tags=OBJECT),
    },
    "BulkResult": record(
        "isSuccessful", isSuccessful={"type": "boolean"}, errors={"type": "array"}, warnings={"type": "array"}
    ),
    "Twin": record(
        "deviceId",
        "etag",
        "version",
        "properties",
        deviceId=TEXT,
        etag=TEXT,
        version=NUMBER,
        tags=OBJECT,
        properties=_SECTIONS,
    ),
    "TwinChange": record(tags=OBJECT, properties=record(desired=OBJECT)),
    "Method": record(
        "methodName",
        methodName={"type": "string", "minLength": 1, "maxLength": 100},
        payload={},
        responseTimeoutInSeconds={**TIMEOUT_S, "minimum": 5},
        connectTimeoutInSeconds=TIMEOUT_S,
    ),
    "MethodAnswer": record("status", status=NUMBER, payload={}),
    "JsonPatch": {"type": "array", "items": record("op", "path", op=TEXT, path=TEXT, value={})},
    "Query": record("query", query=TEXT),
    "Configuration": record(**_CONFIGURATION),
    "TestQueries": record(
        targetCondition=TEXT, customMetricQueries={"type": "object", "additionalProperties": TEXT}
    ),
    "JobWanted": record("type", **_JOB),
    "Job": record(
        "jobId",
        "status",
        "deviceJobStatistics",
        jobId=TEXT,
        status=TEXT,
        type=TEXT,
        deviceJobStatistics=record(*_PROGRESS, **dict.fromkeys(_PROGRESS, NUMBER)),
    ),
    "EventPage": record("events", "next", events={"type": "array", "items": OBJECT}, next=NUMBER),
    "Checkpoint": record(
        "sequence", sequence={"oneOf": [NUMBER, {"type": "string", "enum": ["earliest", "latest"]}]}
    ),
    "Enrollment": record(
        registrationId=TEXT, enrollmentGroupId=TEXT, attestation=OBJECT, provisioningStatus=STATUS
    ),
}
