"""The dashboard: one page for a person who logs in with a policy's name and key."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from skerry.hub.authority import require
from skerry.hub.dashboard.overview import overview
from skerry.hub.dashboard.page import render
from skerry.hub.policies import Right
from skerry.hub.rest.callers import verbs_of

# Inline script and style are ours and constant; nothing else may run or be loaded, nobody may frame it.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self';"
        " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def routes() -> list[BaseRoute]:
    return [Route(path, show, methods=["GET"]) for path in ("/", "/dashboard")]


async def show(request: Request) -> Response:
    """Devices, their modules with the state they report, and predictions as they come."""
    verbs = verbs_of(request)
    caller = verbs.authority.identify_person(request.headers.get("authorization"))
    for right in (Right.REGISTRY_READ, Right.SERVICE_CONNECT):
        require(caller, right)
    return HTMLResponse(render(await overview(verbs)), headers=HEADERS)
