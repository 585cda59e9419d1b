"""REST: twins and direct methods (contract §4.2-4.4)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.contract.method import MethodRequest
from skerry.contract.names import Identity
from skerry.contract.resources import twin_json
from skerry.contract.twin import Twin
from skerry.hub.policies import Right
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.bodies import read_object
from skerry.hub.rest.callers import identity_in, if_match, require, verbs_of


def routes() -> list[BaseRoute]:
    found: list[BaseRoute] = []
    for path in ("/twins/{device}", "/twins/{device}/modules/{module}"):
        found += [
            Route(path, get_twin, methods=["GET"]),
            Route(path, patch_twin, methods=["PATCH"]),
            Route(path, replace_twin, methods=["PUT"]),
            Route(f"{path}/methods", invoke_method, methods=["POST"]),
        ]
    return found


async def get_twin(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    identity = identity_in(request)
    return _twin(request, identity, verbs_of(request).twins.get(identity))


async def patch_twin(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    identity = identity_in(request)
    twin = await verbs_of(request).twins.patch(identity, await read_object(request), if_match(request))
    return _twin(request, identity, twin)


async def replace_twin(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    identity = identity_in(request)
    twin = await verbs_of(request).twins.replace(identity, await read_object(request), if_match(request))
    return _twin(request, identity, twin)


async def invoke_method(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    wanted = MethodRequest.parse(await read_object(request))
    answer = await verbs_of(request).methods.invoke(identity_in(request), wanted)
    return Answer(answer.to_json())


def _twin(request: Request, identity: Identity, twin: Twin) -> Response:
    verbs = verbs_of(request)
    record = (
        verbs.registry.device(identity.device) if identity.module is None else verbs.registry.module(identity)
    )
    states = verbs.fleet.configurations.states(identity)
    waiting = verbs.commands.count(identity.device) if identity.module is None else 0
    document = twin_json(
        record,
        twin,
        verbs.owners.is_connected(identity),
        c2d_count=waiting,
        configurations=states or None,
    )
    return Answer(document, headers={"etag": f'"{twin.etag}"'})
