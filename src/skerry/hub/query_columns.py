"""Where the members of the documents that queries range over live in the hub's tables (contract §4.3, §7)."""

from __future__ import annotations

from collections.abc import Mapping

from skerry.contract.query_expression import Collection, Path
from skerry.hub.query_sql import (
    BoolPlace,
    JsonPlace,
    Nowhere,
    NumberPlace,
    ObjectPlace,
    Place,
    Places,
    TextPlace,
)
from skerry.hub.twin_documents import STATES_SQL

# Who is connected is known to the process, not to the database: it comes along as a parameter.
ONLINE = (
    "WITH online(device, module, connected, activity) AS MATERIALIZED"
    " (SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)) "
)
ONLINE_MEMBERS = frozenset({"connectionState", "lastActivityTime"})
_TWINS = "identities AS i JOIN twins AS t ON t.device = i.device AND t.module = i.module"
ONLINE_JOIN = " LEFT JOIN online AS o ON o.device = i.device AND o.module = i.module"
_STATES = f"(SELECT nullif(({STATES_SQL.format('i.device', 'i.module')}), '{{}}'))"

SOURCES: Mapping[Collection, str] = {
    Collection.DEVICES: _TWINS,
    Collection.MODULES: _TWINS,
    Collection.JOBS: "device_jobs AS d JOIN jobs AS j ON j.id = d.job",
}
ROWS: Mapping[Collection, str] = {
    Collection.DEVICES: "i.module = ''",
    Collection.MODULES: "i.module <> ''",
    Collection.JOBS: "1",
}
# What a row is known by, and the order of all answers.
KEYS: Mapping[Collection, tuple[str, str]] = {
    Collection.DEVICES: ("i.device", "i.module"),
    Collection.MODULES: ("i.device", "i.module"),
    Collection.JOBS: ("d.job", "d.device"),
}

_BOTH: dict[str, Place] = {
    "deviceId": TextPlace("i.device"),
    "etag": TextPlace("t.etag"),
    "version": NumberPlace("t.version"),
    "deviceEtag": TextPlace("i.etag"),
    "connectionState": TextPlace("CASE WHEN o.connected THEN 'Connected' ELSE 'Disconnected' END"),
    "lastActivityTime": TextPlace("coalesce(o.activity, i.last_activity)"),
    "authenticationType": TextPlace("i.auth_type"),
    "x509Thumbprint": ObjectPlace(),
    "x509Thumbprint.primaryThumbprint": TextPlace("nullif(i.primary_thumbprint, '')", nullable=True),
    "x509Thumbprint.secondaryThumbprint": TextPlace("nullif(i.secondary_thumbprint, '')", nullable=True),
    "modelId": TextPlace("i.model_id"),
    "properties": ObjectPlace(),
    "configurations": JsonPlace(_STATES),
}
_PLACES: dict[Collection, dict[str, Place]] = {
    Collection.DEVICES: {
        **_BOTH,
        "status": TextPlace("i.status"),
        "statusReason": TextPlace("i.status_reason", nullable=True),
        "statusUpdateTime": TextPlace("i.status_updated"),
        "capabilities": ObjectPlace(),
        "capabilities.iotEdge": BoolPlace("i.iot_edge"),
        "deviceScope": TextPlace("i.device_scope"),
        "parentScopes": JsonPlace("i.parent_scopes"),
        "tags": JsonPlace("t.tags"),
        "cloudToDeviceMessageCount": NumberPlace(
            "(SELECT count(*) FROM commands AS c WHERE c.device = i.device)"
        ),
    },
    Collection.MODULES: {
        **_BOTH,
        "moduleId": TextPlace("i.module"),
        "status": TextPlace("'enabled'"),
        "tags": JsonPlace("nullif(t.tags, '{}')"),
        "cloudToDeviceMessageCount": NumberPlace("0"),
    },
    Collection.JOBS: {
        "deviceId": TextPlace("d.device"),
        "jobId": TextPlace("d.job"),
        "jobType": TextPlace("j.type"),
        "status": TextPlace("d.status"),
        "createdDateTimeUtc": TextPlace("j.created"),
        "startTimeUtc": TextPlace("d.started", nullable=True),
        "endTimeUtc": TextPlace("d.ended", nullable=True),
        "lastUpdatedDateTimeUtc": TextPlace("d.updated"),
        "outcome": JsonPlace("d.outcome"),
    },
}
_SECTIONS = {
    section: (f"t.{section}", f"t.{section}_metadata", f"t.{section}_version")
    for section in ("desired", "reported")
}


def places(collection: Collection) -> Places:
    """Which column, or place in a JSON column, a path of this collection's documents is."""
    known = _PLACES[collection]
    twins = collection is not Collection.JOBS

    def place(path: Path) -> Place:
        match path.steps:
            case ("properties", str(section), *rest) if twins:
                return _section(section, tuple(rest))
            case (str(first), *rest) if isinstance(known.get(first), JsonPlace):
                return _inside(known[first], tuple(rest))
            case steps if all(isinstance(step, str) for step in steps):
                return known.get(".".join(map(str, steps)), Nowhere())
        return Nowhere()

    return place


def _section(name: str, steps: tuple[str | int, ...]) -> Place:
    if name not in _SECTIONS:
        return Nowhere()
    values, metadata, version = _SECTIONS[name]
    match steps:
        case ():
            return ObjectPlace()
        case ("$version",):
            return NumberPlace(version)
        case ("$version", *_):
            return Nowhere()
        case ("$metadata", *rest):
            return JsonPlace(metadata, tuple(rest))
    return JsonPlace(values, steps)


def _inside(place: Place, steps: tuple[str | int, ...]) -> Place:
    return JsonPlace(place.column, steps) if isinstance(place, JsonPlace) else Nowhere()
