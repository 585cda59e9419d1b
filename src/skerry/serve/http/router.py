"""Which front answers a request: a table of paths."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from skerry.errors import SkerryError
from skerry.serve.http.message import Answer, Later, Request, Response

Endpoint: TypeAlias = Callable[..., Answer]
"""Called with the request and the parts of the path in braces, in order."""
ErrorResponse: TypeAlias = Callable[[SkerryError], Response]

# Paths with parts whose route is remembered: clients ask for the same few.
MATCHED_MAX = 256


@dataclass(frozen=True, slots=True)
class Route:
    """One operation: ``path`` may have parts in braces; ``errors`` renders what the endpoint raises."""

    method: str
    path: str
    endpoint: Endpoint
    errors: ErrorResponse
    summary: str
    consumes: tuple[str, ...] = ()
    responses: Mapping[int, str] = field(default_factory=lambda: {200: "Done"})
    takes: Any = None
    """JSON schema of an ``application/json`` body."""
    gives: Mapping[int, Any] = field(default_factory=dict)
    """JSON schemas of answers by status; 0 stands for every error."""


class Router:
    """A handler for the listener: the front's answer, or 404 and 405 as ``missing`` renders them."""

    def __init__(self, routes: Sequence[Route], missing: Callable[[int, str], Response]) -> None:
        self.routes = tuple(routes)
        self._missing = missing
        self._fixed: dict[str, dict[str, Route]] = {}
        self._matched: dict[str, tuple[dict[str, Route], Sequence[str]]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = []
        by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, {})[route.method] = route
        for path, methods in by_path.items():
            if "{" in path:
                self._patterns.append((re.compile(re.sub(r"\{\w+\}", "([^/]+)", path)), methods))
            else:
                self._fixed[path] = methods

    def __call__(self, request: Request) -> Answer:
        methods, values = self._find(request.path)
        if methods is None:
            return self._missing(404, "there is nothing at this path")
        method = "GET" if request.method == "HEAD" else request.method
        route = methods.get(method)
        if route is None:
            allowed = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"}))
            if method == "OPTIONS":
                return Response(200, headers=(("allow", allowed),))
            refused = self._missing(405, "this method is not allowed here")
            return Response(405, refused.body, refused.content_type, (*refused.headers, ("allow", allowed)))
        try:
            answer = route.endpoint(request, *values)
        except SkerryError as exc:
            return route.errors(exc)
        if isinstance(answer, (Response, Later)):
            return answer
        return _settled(route, answer)

    def _find(self, path: str) -> tuple[dict[str, Route] | None, Sequence[str]]:
        methods = self._fixed.get(path)
        if methods is not None:
            return methods, ()
        known = self._matched.get(path)
        if known is not None:
            return known
        for pattern, found in self._patterns:
            match = pattern.fullmatch(path)
            if match is not None:
                if len(self._matched) >= MATCHED_MAX:
                    self._matched.clear()
                self._matched[path] = (found, match.groups())
                return self._matched[path]
        return None, ()


async def _settled(route: Route, answer: Awaitable[Response]) -> Response:
    try:
        return await answer
    except SkerryError as exc:
        return route.errors(exc)
