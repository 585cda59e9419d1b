"""REST: the authorities of X.509 devices, in the shapes of Azure Resource Manager's certificate API."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.hub.ca_certificates import CaCertificates
from skerry.hub.policies import Right
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.bodies import read_object
from skerry.hub.rest.callers import if_match, require, verbs_of


def routes() -> list[BaseRoute]:
    one = "/certificates/{name}"
    return [
        Route("/certificates", listed, methods=["GET"]),
        Route(one, get, methods=["GET"]),
        Route(one, put, methods=["PUT"]),
        Route(one, delete, methods=["DELETE"]),
        Route(f"{one}/generateVerificationCode", challenge, methods=["POST"]),
        Route(f"{one}/verify", verify, methods=["POST"]),
    ]


async def listed(request: Request) -> Response:
    require(request, Right.REGISTRY_READ)
    return Answer({"value": [one.document() for one in _verbs(request).listed()]})


async def get(request: Request) -> Response:
    require(request, Right.REGISTRY_READ)
    return Answer(_verbs(request).get(_name(request)).document())


async def put(request: Request) -> Response:
    require(request, Right.REGISTRY_WRITE)
    document = await read_object(request)
    return Answer((await _verbs(request).put(_name(request), document, if_match(request))).document())


async def delete(request: Request) -> Response:
    require(request, Right.REGISTRY_WRITE)
    await _verbs(request).delete(_name(request), if_match(request))
    return Response(status_code=204)


async def challenge(request: Request) -> Response:
    require(request, Right.REGISTRY_WRITE)
    made = await _verbs(request).challenge(_name(request), if_match(request))
    return Answer(made.document(with_code=True))


async def verify(request: Request) -> Response:
    require(request, Right.REGISTRY_WRITE)
    document = await read_object(request)
    return Answer((await _verbs(request).verify(_name(request), document, if_match(request))).document())


def _verbs(request: Request) -> CaCertificates:
    return verbs_of(request).certificates


def _name(request: Request) -> str:
    return str(request.path_params["name"])
