"""REST: cloud-to-device messages seen from a service (contract §4.2)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.hub.policies import Right
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.callers import device_in, require, verbs_of


def routes() -> list[BaseRoute]:
    feedback = "/messages/serviceBound/feedback"
    return [
        Route("/devices/{device}/commands", purge, methods=["DELETE"]),
        Route(feedback, receive_feedback, methods=["GET"]),
        Route(f"{feedback}/{{lock}}", complete_feedback, methods=["DELETE"]),
        Route(f"{feedback}/{{lock}}/abandon", abandon_feedback, methods=["POST"]),
    ]


async def purge(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    device = device_in(request)
    purged = await verbs_of(request).commands.purge(device)
    return Answer({"totalMessagesPurged": purged, "deviceId": str(device), "moduleId": None})


async def receive_feedback(request: Request) -> Response:
    """A batch of records with its lock in the etag, or 204."""
    require(request, Right.SERVICE_CONNECT)
    batch = await verbs_of(request).commands.feedback.take()
    if batch is None:
        return Response(status_code=204)
    return Answer(batch.records, headers={"etag": f'"{batch.lock}"'})


async def complete_feedback(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    await verbs_of(request).commands.feedback.complete(request.path_params["lock"])
    return Response(status_code=204)


async def abandon_feedback(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    verbs_of(request).commands.feedback.abandon(request.path_params["lock"])
    return Response(status_code=204)
