"""A route of the edge hub: which messages it takes, where it leads them (contract.md §6.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from skerry.contract.message import Message
from skerry.contract.names import DeviceId, Identity
from skerry.contract.route_expression import Expression
from skerry.contract.route_syntax import RouteSyntaxError, parse_parts
from skerry.contract.route_values import TWIN_CHANGE_SOURCE, Scope, evaluate

__all__ = [
    "TWIN_CHANGE_SOURCE",
    "ModuleInput",
    "Route",
    "RouteSyntaxError",
    "Upstream",
    "matches",
    "matching",
    "parse_route",
    "telemetry_source",
]

# Distinct sources of one edge hub's routes and messages; beyond it folding is just repeated.
SOURCES_CACHED_MAX = 1024


@dataclass(frozen=True, slots=True)
class Upstream:
    """The IoT hub."""

    def __str__(self) -> str:
        return "$upstream"


@dataclass(frozen=True, slots=True)
class ModuleInput:
    """An input of a module on this device."""

    module: str
    input: str

    def __str__(self) -> str:
        return f'BrokeredEndpoint("/modules/{self.module}/inputs/{self.input}")'


Sink = Upstream | ModuleInput


@dataclass(frozen=True, slots=True)
class Route:
    """A parsed route; ``condition`` None takes every message of the source."""

    text: str
    source: str
    condition: Expression | None
    sink: Sink


def parse_route(text: str) -> Route:
    """The route in ``text``; RouteSyntaxError names the 0-based position and what was expected there."""
    parts = parse_parts(text)
    sink = Upstream() if parts.endpoint is None else ModuleInput(*parts.endpoint)
    return Route(text, parts.source, parts.condition, sink)


def matches(route: Route, source_path: str, message: Message) -> bool:
    """Whether the route takes this message: its source leads to ``source_path``, its condition is true."""
    return _takes(route, Scope(source_path, message))


def matching(routes: Iterable[Route], source_path: str, message: Message) -> list[Route]:
    """Those of ``routes`` that take the message, in order; the body is parsed at most once for all."""
    scope = Scope(source_path, message)
    return [route for route in routes if _takes(route, scope)]


def telemetry_source(sender: Identity, edge_device: DeviceId, output: str | None) -> str:
    """The source path of a message: ``/messages`` unless a module of this device sent it."""
    if sender.module is None or sender.device != edge_device:
        return "/messages"
    path = f"/messages/modules/{sender.module}"
    return f"{path}/outputs/{output}" if output else path


def _takes(route: Route, scope: Scope) -> bool:
    if not _leads_to(route.source, scope.source_path):
        return False
    return route.condition is None or evaluate(route.condition, scope) is True


@lru_cache(maxsize=SOURCES_CACHED_MAX)
def _leads_to(source: str, path: str) -> bool:
    """Whether ``source``, less a trailing ``*``, is a prefix of ``path`` that ends at a path boundary.

    A ``*`` further left is literal: no message has it in its path.
    """
    prefix = source.removesuffix("*").rstrip("/").casefold()
    path = path.casefold()
    return path == prefix or path.startswith(prefix + "/")
