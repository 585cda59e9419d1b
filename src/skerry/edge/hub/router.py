"""Which endpoints a message goes to.

Pure. All routes are looked at; a message goes once to each endpoint, by the route with the best priority
(contract.md §6.4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from skerry.contract.manifest import HubDesired, RouteSpec
from skerry.contract.message import Message
from skerry.contract.names import Identity
from skerry.contract.route import ModuleInput, Upstream, matches, telemetry_source
from skerry.contract.route_expression import reads_body

UPSTREAM_PREFIX = "upstream/"
INPUT_PREFIX = "input/"


@dataclass(frozen=True, slots=True)
class Destination:
    """One endpoint a message is stored for, to live there ``life_s`` seconds; None for ever."""

    endpoint: str
    priority: int
    life_s: float | None


def upstream_endpoint(sender: Identity) -> str:
    """The hub, for what ``sender`` sends: one queue each, so that one refused sender holds up no other."""
    return UPSTREAM_PREFIX + sender.client_id


def input_endpoint(module: str, name: str) -> str:
    """The input ``name`` of a module on this device."""
    return f"{INPUT_PREFIX}{module}/{name}"


def upstream_sender(endpoint: str) -> Identity | None:
    """Whose messages an upstream endpoint holds; None for another endpoint."""
    if not endpoint.startswith(UPSTREAM_PREFIX):
        return None
    return Identity.parse(endpoint.removeprefix(UPSTREAM_PREFIX))


def input_of(endpoint: str) -> tuple[str, str] | None:
    """Module and input name of an input endpoint; None for another endpoint."""
    if not endpoint.startswith(INPUT_PREFIX):
        return None
    module, _, name = endpoint.removeprefix(INPUT_PREFIX).partition("/")
    return module, name


@dataclass(frozen=True)
class RoutingTable:
    """The routes in force, with the time to live of messages whose route has none (−1: for ever)."""

    routes: tuple[RouteSpec, ...] = ()
    time_to_live_s: int = -1
    max_size_bytes: int | None = None

    @cached_property
    def by_priority(self) -> tuple[RouteSpec, ...]:
        """The routes, best first."""
        return tuple(sorted(self.routes, key=lambda spec: (spec.priority, spec.name)))

    @property
    def shortest_life_s(self) -> float | None:
        """The shortest time to live any message can get; None when all live for ever."""
        lives = [spec.time_to_live_s or self.time_to_live_s for spec in self.routes]
        return min((life for life in lives if life > 0), default=None)

    @classmethod
    def of(cls, desired: HubDesired) -> RoutingTable:
        return cls(tuple(desired.routes.values()), desired.time_to_live_s, desired.max_size_bytes)


# Senders whose last routing is remembered; one connection sends nearly always the same properties.
REMEMBERED_MAX = 4096


@dataclass(frozen=True, slots=True)
class _Remembered:
    properties: Mapping[str, str | None]
    system: Mapping[str, str]
    destinations: Sequence[Destination]


class Router:
    """``destinations`` that remembers, per sender, the routes the last message took.

    They hold for the next one when its properties are the very same objects, as they are for a sender that
    repeats its topic, and no route reads the body.
    """

    def __init__(self, table: RoutingTable) -> None:
        self._table = table
        self._last: dict[Identity, _Remembered] = {}
        conditions = [spec.route.condition for spec in table.routes]
        self._by_properties = not any(c is not None and reads_body(c) for c in conditions)

    def destinations(self, sender: Identity, message: Message) -> Sequence[Destination]:
        """Where ``message`` goes; empty: no route wants it."""
        if not self._by_properties:
            return destinations(sender, message, self._table)
        last = self._last.get(sender)
        if last is None or last.properties is not message.properties or last.system is not message.system:
            found = destinations(sender, message, self._table)
            if len(self._last) >= REMEMBERED_MAX:
                self._last.clear()
            last = self._last[sender] = _Remembered(message.properties, message.system, found)
        return last.destinations


def source_of(sender: Identity, message: Message) -> str:
    """The path routes see: ``/messages``, ``/messages/modules/m`` or ``…/outputs/o``."""
    return telemetry_source(sender, sender.device, message.system.get("outputName"))


def destinations(sender: Identity, message: Message, table: RoutingTable) -> list[Destination]:
    """Where ``message`` goes; empty: no route wants it."""
    source = source_of(sender, message)
    best: dict[str, Destination] = {}
    for spec in table.by_priority:
        if not matches(spec.route, source, message):
            continue
        match spec.route.sink:
            case Upstream():
                endpoint = upstream_endpoint(sender)
            case ModuleInput(module, name):
                endpoint = input_endpoint(module, name)
        # 0 or none given means the hub's own time to live (contract.md §6.3).
        seconds = spec.time_to_live_s or table.time_to_live_s
        best.setdefault(endpoint, Destination(endpoint, spec.priority, None if seconds < 0 else seconds))
    return list(best.values())
