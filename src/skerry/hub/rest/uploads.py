"""REST: a device asks where to upload a file and says what became of it (contract §2.9)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.contract.file_upload import parse_outcome, parse_request
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.bodies import read_object
from skerry.hub.rest.callers import device_in, require_device, verbs_of

HTTPS_PORT = 443


def routes() -> list[BaseRoute]:
    files = "/devices/{device}/files"
    return [
        Route(files, begin, methods=["POST"]),
        Route(f"{files}/notifications", finish, methods=["POST"]),
        # As older clients have it.
        Route(f"{files}/notifications/{{correlation}}", finish, methods=["POST"]),
    ]


async def begin(request: Request) -> Response:
    device = device_in(request)
    require_device(request, device)
    blob = parse_request(await read_object(request), device)
    return Answer(await verbs_of(request).uploads.begin(blob, _host(request)))


async def finish(request: Request) -> Response:
    device = device_in(request)
    require_device(request, device)
    outcome = parse_outcome(await read_object(request), request.path_params.get("correlation"))
    await verbs_of(request).uploads.finish(device, outcome)
    return Response(status_code=204)


def _host(request: Request) -> str:
    """Where the device reaches us: the name it used if it is one of ours, as services are told it too."""
    name = verbs_of(request).authority.known_host(request.url.hostname or "")
    port = request.url.port or HTTPS_PORT
    return name if port == HTTPS_PORT else f"{name}:{port}"
