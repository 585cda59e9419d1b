"""REST: what the container registry holds, and its garbage; ours. Pushing and pulling is ``/v2/``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.errors import InvalidInput
from skerry.hub.containers.collect import GRACE_S, collect
from skerry.hub.policies import Right
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.bodies import read_object
from skerry.hub.rest.callers import require, verbs_of


def routes() -> list[BaseRoute]:
    return [
        Route("/containers", listing, methods=["GET"]),
        Route("/containers/collect", collect_garbage, methods=["POST"]),
    ]


async def listing(request: Request) -> Response:
    """Every tag and untagged manifest with its size; the bytes of all."""
    require(request, Right.REGISTRY_READ)
    return Answer(await verbs_of(request).containers.listing())


async def collect_garbage(request: Request) -> Response:
    """``{untagged, graceSeconds}``: manifests without a tag go too, but those that a deployment names."""
    require(request, Right.REGISTRY_WRITE)
    document = await read_object(request)
    grace_s = document.get("graceSeconds", GRACE_S)
    if not isinstance(grace_s, int | float) or isinstance(grace_s, bool) or not 0 <= grace_s <= 1e9:
        raise InvalidInput("graceSeconds is not a number of seconds", path="graceSeconds", value=grace_s)
    verbs = verbs_of(request)
    found = await collect(
        verbs.containers,
        verbs.clock,
        untagged=document.get("untagged") is True,
        kept=await verbs.deployments.pinned(),
        grace_s=grace_s,
    )
    await verbs.audit.note("containers.collect", "containers")
    return Answer({"manifests": found.manifests, "blobs": found.blobs, "bytes": found.bytes})
