"""The calls of the HTTPS front as a table: what each takes, what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

JSON, BYTES, XML, TEXT = "application/json", "application/octet-stream", "application/xml", "text/plain"
ANY_TYPE = "*/*"


@dataclass(frozen=True, slots=True)
class Call:
    """``body`` and ``answer`` name schemas (``schemas.py``); an answer without one has no content.

    ``empty``: 204 says that there is nothing; ``by_key``: the caller has to say who it is.
    """

    summary: str
    answer: str = ""
    body: str = ""
    ok: int = 200
    query: tuple[str, ...] = ()
    media: str = JSON
    empty: bool = False
    by_key: bool = True


PAGED = ("top",)
_ONE, _MODULE = "/devices/{device}", "/devices/{device}/modules/{module}"
_SERVICE_BOUND = "/messages/serviceBound"

CALLS: Mapping[str, Call] = {
    # Registry.
    "GET /devices": Call("Devices, by id", "Objects", query=PAGED),
    "GET /devices/": Call("As without the slash", "Objects", query=PAGED),
    "POST /devices": Call("Create, update or delete up to 100 devices", "BulkResult", "BulkDevices"),
    f"GET {_ONE}": Call("A device", "Identity"),
    f"PUT {_ONE}": Call("Create a device, or update it (If-Match)", "Identity", "Device"),
    f"DELETE {_ONE}": Call("Delete a device with its modules and twins", ok=204),
    f"GET {_ONE}/modules": Call("A device's modules", "Objects"),
    f"GET {_MODULE}": Call("A module", "Identity"),
    f"PUT {_MODULE}": Call("Create a module, or update it (If-Match)", "Identity", "Module"),
    f"DELETE {_MODULE}": Call("Delete a module with its twin", ok=204),
    f"POST {_ONE}/applyConfigurationContent": Call("Apply a manifest or content once", "", "Object", 204),
    f"POST {_MODULE}/applyConfigurationContent": Call("Apply module content once", "", "Object", 204),
    "GET /devices/{device}/modules/$edgeHub/devicesAndModulesInDeviceScope": Call(
        "A gateway's children, for its own key", "Object", query=("deviceCount", "continuationToken")
    ),
    "GET /statistics/devices": Call("How many devices there are", "Object"),
    "GET /statistics/service": Call("How many devices are connected", "Object"),
    # Twins, methods, queries.
    **{
        f"{method} /twins/{{device}}{module}": said
        for module in ("", "/modules/{module}")
        for method, said in {
            "GET": Call("A twin", "Twin"),
            "PATCH": Call("Merge tags and desired properties", "Twin", "TwinChange"),
            "PUT": Call("Replace tags and desired properties", "Twin", "TwinChange"),
        }.items()
    },
    "POST /twins/{device}/methods": Call("Call a direct method", "MethodAnswer", "Method"),
    "POST /twins/{device}/modules/{module}/methods": Call("Call a module's method", "MethodAnswer", "Method"),
    "GET /digitaltwins/{device}": Call("A twin as its model sees it", "Object"),
    "PATCH /digitaltwins/{device}": Call("Write properties by JSON Patch", "", "JsonPatch", 202),
    "POST /digitaltwins/{device}/commands/{command}": Call(
        "Call a command", "Any", "Any", query=("connectTimeoutInSeconds", "responseTimeoutInSeconds")
    ),
    "POST /digitaltwins/{device}/components/{component}/commands/{command}": Call(
        "Call a component's command",
        "Any",
        "Any",
        query=("connectTimeoutInSeconds", "responseTimeoutInSeconds"),
    ),
    "POST /devices/query": Call("Devices, modules or jobs of a query, page by page", "Objects", "Query"),
    # Configurations and jobs.
    "GET /configurations": Call("Configurations", "Objects", query=PAGED),
    "GET /configurations/{configuration}": Call("A configuration with its metrics", "Configuration"),
    "PUT /configurations/{configuration}": Call("Create or update one", "Configuration", "Configuration"),
    "DELETE /configurations/{configuration}": Call("Delete one", ok=204),
    "POST /configurations/testQueries": Call("What is wrong with these queries", "Object", "TestQueries"),
    "POST /configurations/{configuration}/plan": Call("What a PUT would change", "Objects", "Configuration"),
    "GET /jobs/v2/query": Call("Scheduled jobs, page by page", "Any", query=("jobType", "jobStatus")),
    "GET /jobs/v2/{job}": Call("A scheduled job with its progress", "Job"),
    "PUT /jobs/v2/{job}": Call("Schedule a job", "Job", "JobWanted"),
    "POST /jobs/v2/{job}/cancel": Call("Let no further device begin", "Job"),
    "POST /jobs/create": Call("Export or import the registry", "Object", "Object"),
    "GET /jobs": Call("Exports and imports", "Objects"),
    "GET /jobs/{job}": Call("An export or import", "Object"),
    "DELETE /jobs/{job}": Call("Stop an export or import", ok=204),
    # Messages.
    "DELETE /devices/{device}/commands": Call("Drop what is queued for a device", "Object"),
    **{
        call: said
        for name in ("feedback", "filenotifications")
        for call, said in {
            f"GET {_SERVICE_BOUND}/{name}": Call("The next, locked", "Any", empty=True),
            f"DELETE {_SERVICE_BOUND}/{name}/{{lock}}": Call("It is dealt with", ok=204),
            f"POST {_SERVICE_BOUND}/{name}/{{lock}}/abandon": Call("Give it back", ok=204),
        }.items()
    },
    "POST /devices/{device}/messages/events": Call("Send a message, or a batch", "", "Bytes", 204),
    "GET /devices/{device}/messages/devicebound": Call(
        "The next command", "Bytes", media=ANY_TYPE, empty=True
    ),
    "DELETE /devices/{device}/messages/devicebound/{lock}": Call("Complete or reject it", ok=204),
    "POST /devices/{device}/messages/devicebound/{lock}/abandon": Call("Give it back", ok=204),
    "GET /events": Call(
        "Every event from a position on, for ever", "Text", query=("from",), media="text/event-stream"
    ),
    "GET /events/page": Call("Some events, waited for", "EventPage", query=("after", "limit", "wait")),
    "GET /events/position": Call("The position of a moment", "Object", query=("at",)),
    "GET /events/groups": Call("Consumer groups and where they are", "Objects"),
    "PUT /events/groups/{group}": Call("Say where a group is", "Object", "Checkpoint"),
    "DELETE /events/groups/{group}": Call("Forget a group", ok=204),
    "GET /events/sinks": Call("Webhooks", "Objects"),
    "GET /events/sinks/{sink}": Call("A webhook", "Object"),
    "PUT /events/sinks/{sink}": Call("Create or update a webhook", "Object", "Object"),
    "DELETE /events/sinks/{sink}": Call("Delete a webhook", ok=204),
    "GET /events/sinks/{sink}/deadletters": Call("What it never took", "Any", query=("after",)),
    "DELETE /events/sinks/{sink}/deadletters": Call("Drop them", "Object", query=("through",)),
    "GET /ledger": Call("What was lost or came twice, per sender", "Objects", query=("device",)),
    # Files.
    "POST /devices/{device}/files": Call("Where to upload a file to", "Object", "Object"),
    "POST /devices/{device}/files/notifications": Call("An upload ended", "", "Object", 204),
    "POST /devices/{device}/files/notifications/{correlation}": Call("An upload ended", "", "Object", 204),
    "GET /uploads": Call("Uploaded files", "Any", query=("device", "after")),
    "GET /uploads/{blob}": Call("A file", "Bytes", media=ANY_TYPE),
    "PUT /uploads/{blob}": Call("Write a file or a block", "", "Bytes", 201, ("comp", "sig", "blockid")),
    "DELETE /uploads/{blob}": Call("Delete a file", ok=202),
    # Provisioning.
    "POST /enrollments": Call("Create, update or delete several", "Object", "Object"),
    **{
        f"{method} /{kind}/{tail}": said
        for kind in ("enrollments", "enrollmentGroups")
        for method, tail, said in (
            ("POST", "query", Call("Page by page", "Objects", "Query")),
            ("GET", "{id}", Call("One", "Object")),
            ("PUT", "{id}", Call("Create or update one (If-Match)", "Object", "Enrollment")),
            ("DELETE", "{id}", Call("Delete one", ok=204)),
            ("POST", "{id}/attestationmechanism", Call("Its keys or certificates", "Object")),
        )
    },
    "POST /enrollmentgroups/{id}/attestationmechanism": Call("As Node's SDK writes it", "Object"),
    "GET /registrations/{id}": Call("What became of a device", "Object"),
    "DELETE /registrations/{id}": Call("Forget it", ok=204),
    "POST /registrations/{id}/query": Call("Those of a group", "Objects", "Object"),
    "GET /provisioning": Call("The id scope, and who was refused lately", "Object"),
    "PUT /{scope}/registrations/{registration}/register": Call(
        "Register a device, by its own key", "Object", "Object", 202, ("api-version",)
    ),
    "GET /{scope}/registrations/{registration}/operations/{operation}": Call(
        "How far it is", "Object", query=("api-version",)
    ),
    "GET /certificates": Call("CA certificates", "Object"),
    "GET /certificates/{name}": Call("A CA certificate", "Object"),
    "PUT /certificates/{name}": Call("Create or update one", "Object", "Object"),
    "DELETE /certificates/{name}": Call("Delete one (If-Match)", ok=204),
    "POST /certificates/{name}/generateVerificationCode": Call("What to sign", "Object"),
    "POST /certificates/{name}/verify": Call("Show that its key is held", "Object", "Object"),
    # The operator's.
    "GET /audit": Call("Who changed what", "Any", query=("top", "before", "target", "who")),
    "GET /containers": Call("What the registry holds", "Any"),
    "POST /containers/collect": Call("Remove what nothing needs", "Object", "Object"),
    "GET /healthz": Call("200 while storage can be read", "Text", media=TEXT, by_key=False),
    "GET /metrics": Call("For Prometheus", "Text", media=TEXT, by_key=False),
    "GET /openapi.json": Call("This document", "Object", by_key=False),
}
