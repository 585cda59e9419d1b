"""REST: configurations, that is deployments at scale (contract §4.2, §4.3)."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.contract.configuration import parse_test
from skerry.errors import InvalidInput
from skerry.hub.configurations import CONFIGURATIONS_MAX
from skerry.hub.policies import Right
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.bodies import read_object
from skerry.hub.rest.callers import if_match, require, verbs_of


def routes() -> list[BaseRoute]:
    one = "/configurations/{configuration}"
    return [
        Route("/configurations", list_configurations, methods=["GET"]),
        Route("/configurations/testQueries", test_queries, methods=["POST"]),
        Route(one, get_configuration, methods=["GET"]),
        Route(one, put_configuration, methods=["PUT"]),
        Route(one, delete_configuration, methods=["DELETE"]),
        # Ours: what a PUT would change, device by device.
        Route(f"{one}/plan", plan_configuration, methods=["POST"]),
    ]


async def list_configurations(request: Request) -> Response:
    require(request, Right.REGISTRY_READ)
    text = request.query_params.get("top", str(CONFIGURATIONS_MAX))
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) >= 1):
        raise InvalidInput(f"top is {text[:40]!r}", hint="a number from 1", field="top")
    return Answer(await verbs_of(request).fleet.configurations.list(int(text)))


async def get_configuration(request: Request) -> Response:
    require(request, Right.REGISTRY_READ)
    return _configuration(await verbs_of(request).fleet.configurations.get(_id(request)))


async def put_configuration(request: Request) -> Response:
    require(request, Right.REGISTRY_WRITE)
    document = await read_object(request)
    saved = await verbs_of(request).fleet.configurations.put(document, _id(request), if_match(request))
    return _configuration(saved)


async def delete_configuration(request: Request) -> Response:
    require(request, Right.REGISTRY_WRITE)
    await verbs_of(request).fleet.configurations.delete(_id(request), if_match(request))
    return Response(status_code=204)


async def test_queries(request: Request) -> Response:
    require(request, Right.REGISTRY_READ)
    condition, metrics = parse_test(await read_object(request))
    return Answer({"targetConditionError": condition, "customMetricQueryErrors": metrics})


async def plan_configuration(request: Request) -> Response:
    require(request, Right.REGISTRY_READ)
    return Answer(await verbs_of(request).fleet.rollout.plan(await read_object(request), _id(request)))


def _configuration(document: dict[str, Any]) -> Response:
    return Answer(document, headers={"etag": f'"{document["etag"]}"'})


def _id(request: Request) -> str:
    return str(request.path_params["configuration"])
