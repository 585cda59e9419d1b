"""What ``$edgeHub`` is to do: routes and the limits of its store (contract.md §6.3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from skerry.contract.json_text import check_depth
from skerry.contract.member import Member
from skerry.contract.route import Route, RouteSyntaxError, parse_route
from skerry.contract.schema_version import minor, read_schema_version

PRIORITY_MAX = 9
# Behind every number a route may give; edgeHub's own default, seen in its metrics.
PRIORITY_DEFAULT = 2_000_000_000
# A C# int, as edgeHub reads it.
SECONDS_MAX = 2**31 - 1
FOR_EVER = -1
TIME_TO_LIVE_DEFAULT_S = 7200
STORE_BYTES_MAX = 2**53
ROUTES_MAX = 1000
_ROUTE_NAME = re.compile(r"[^.$# ]+")


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """A named route; priority 0 first; ``time_to_live_s`` None takes the global value."""

    name: str
    route: Route
    priority: int = PRIORITY_DEFAULT
    time_to_live_s: int | None = None


@dataclass(frozen=True, slots=True)
class HubDesired:
    """The checked desired properties of ``$edgeHub``; ``time_to_live_s`` -1 keeps messages for ever."""

    schema_version: str = "1.1"
    routes: Mapping[str, RouteSpec] = field(default_factory=dict)
    time_to_live_s: int = TIME_TO_LIVE_DEFAULT_S
    max_size_bytes: int | None = None


def parse_hub_desired(document: object, *, path: str = "") -> HubDesired:
    """The checked document; InvalidInput with ``path``, ``value``, a hint and, in a route, ``position``.

    Another major schema version raises InvalidInput with ``code`` 412.
    """
    check_depth(document)
    root = Member(path, document)
    version = read_schema_version(root["schemaVersion"])
    store = root["storeAndForwardConfiguration"]
    limits = store["storeLimits"]
    size = limits["maxSizeBytes"] if limits.given else limits
    return HubDesired(
        schema_version=version,
        routes=_routes(root["routes"], minor(version)),
        time_to_live_s=store["timeToLiveSecs"].integer(FOR_EVER, SECONDS_MAX),
        max_size_bytes=size.integer(1, STORE_BYTES_MAX) if size.given else None,
    )


def _routes(routes: Member, version_minor: int) -> dict[str, RouteSpec]:
    if not routes.given:
        return {}
    if len(routes.members()) > ROUTES_MAX:
        routes.refuse(f"at most {ROUTES_MAX} routes")
    specs = {}
    for name, entry in routes:
        if version_minor >= 1 and not _ROUTE_NAME.fullmatch(name):
            entry.refuse("a route name without . $ # and blanks")
        if entry.given:  # null removes a route
            specs[name] = _route_spec(name, entry, version_minor)
    return specs


def _route_spec(name: str, entry: Member, version_minor: int) -> RouteSpec:
    if isinstance(entry.value, str):
        return RouteSpec(name, _route(entry))
    if version_minor < 1:
        entry.refuse("the text of a route (an object needs schemaVersion 1.1)")
    priority, seconds = entry["priority"], entry["timeToLiveSecs"]
    return RouteSpec(
        name,
        _route(entry["route"]),
        priority.integer(0, PRIORITY_MAX) if priority.given else PRIORITY_DEFAULT,
        (seconds.integer(0, SECONDS_MAX) if seconds.given else 0) or None,
    )


def _route(member: Member) -> Route:
    try:
        return parse_route(member.text())
    except RouteSyntaxError as exc:
        exc.fields["path"] = member.path
        raise
