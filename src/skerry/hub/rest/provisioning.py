"""REST: the provisioning service for devices that speak HTTP (contract §5.2)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.contract.provisioning import assigning, provisioning_name
from skerry.hub.provisioning import Registrant
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.bodies import read_body
from skerry.hub.rest.callers import certificates_of, verbs_of
from skerry.protocol.provisioning_head import check_registration


def routes() -> list[BaseRoute]:
    one = "/{scope}/registrations/{registration}"
    return [
        Route(f"{one}/register", register, methods=["PUT"]),
        Route(f"{one}/operations/{{operation}}", operation, methods=["GET"]),
    ]


async def register(request: Request) -> Response:
    """202 though all is done by then: IoT Edge's identity service takes no other answer here, and polls.

    It may do so at once.
    """
    device = await _device(request)
    check_registration(await read_body(request), device.name.registration_id)
    done = await device.register()
    return Answer(assigning(done["operationId"]), 202, headers={"retry-after": "0"})


async def operation(request: Request) -> Response:
    device = await _device(request)
    return Answer(await device.operation(request.path_params["operation"]))


async def _device(request: Request) -> Registrant:
    peer = f"{request.client.host}:{request.client.port}" if request.client else "?"
    path = request.path_params
    version = request.query_params.get("api-version", "")
    name = provisioning_name(path["scope"], path["registration"], version)
    authorization = request.headers.get("authorization")
    return await verbs_of(request).provisioning.authenticate(
        name, authorization, certificates_of(request), peer
    )
