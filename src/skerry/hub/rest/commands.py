"""REST: cloud-to-device messages and uploaded files seen from a service (contract §4.2)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.hub.feedback import Feedback
from skerry.hub.policies import Right
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.callers import device_in, require, verbs_of


def routes() -> list[BaseRoute]:
    found: list[BaseRoute] = [Route("/devices/{device}/commands", purge, methods=["DELETE"])]
    for name in ("feedback", "filenotifications"):
        path = f"/messages/serviceBound/{name}"
        found += [
            Route(path, receive_feedback, methods=["GET"]),
            Route(f"{path}/{{lock}}", complete_feedback, methods=["DELETE"]),
            Route(f"{path}/{{lock}}/abandon", abandon_feedback, methods=["POST"]),
        ]
    return found


async def purge(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    device = device_in(request)
    purged = await verbs_of(request).commands.purge(device)
    return Answer({"totalMessagesPurged": purged, "deviceId": str(device), "moduleId": None})


async def receive_feedback(request: Request) -> Response:
    """What is to be read next with its lock in the etag, or 204."""
    require(request, Right.SERVICE_CONNECT)
    batch = await _feedback(request).take()
    if batch is None:
        return Response(status_code=204)
    # Files are told of one by one.
    body = batch.records[0] if _of_files(request) else batch.records
    return Answer(body, headers={"etag": f'"{batch.lock}"'})


async def complete_feedback(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    await _feedback(request).complete(request.path_params["lock"])
    return Response(status_code=204)


async def abandon_feedback(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    _feedback(request).abandon(request.path_params["lock"])
    return Response(status_code=204)


def _of_files(request: Request) -> bool:
    return "/filenotifications" in request.url.path


def _feedback(request: Request) -> Feedback:
    verbs = verbs_of(request)
    return verbs.uploads.notices if _of_files(request) else verbs.commands.feedback
