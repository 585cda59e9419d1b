"""REST: the audit log; ours."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.errors import InvalidInput
from skerry.hub.audit import PAGE_MAX
from skerry.hub.policies import Right
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.callers import require, verbs_of


def routes() -> list[BaseRoute]:
    return [Route("/audit", entries, methods=["GET"])]


async def entries(request: Request) -> Response:
    """``GET /audit?top=&before=&target=&who=``: the newest entries first; for who may change things."""
    require(request, Right.REGISTRY_WRITE)
    query = request.query_params
    found = await verbs_of(request).audit.entries(
        _number(request, "top") or PAGE_MAX,
        before=_number(request, "before"),
        target=query.get("target"),
        who=query.get("who"),
    )
    return Answer(found)


def _number(request: Request, field: str) -> int | None:
    text = request.query_params.get(field)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 19 and int(text) >= 1):
        raise InvalidInput(f"{field} is {text[:40]!r}", hint="a number from 1", field=field)
    return int(text)
