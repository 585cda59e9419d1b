"""REST: consumer groups with their checkpoints, and sinks; ours."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.errors import InvalidInput
from skerry.hub.policies import Right
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.bodies import read_object
from skerry.hub.rest.callers import if_match, require, verbs_of


def routes() -> list[BaseRoute]:
    group, sink = "/events/groups/{group}", "/events/sinks/{sink}"
    return [
        Route("/events/groups", list_groups, methods=["GET"]),
        Route(group, commit, methods=["PUT"]),
        Route(group, delete_group, methods=["DELETE"]),
        Route("/events/sinks", list_sinks, methods=["GET"]),
        Route(sink, get_sink, methods=["GET"]),
        Route(sink, put_sink, methods=["PUT"]),
        Route(sink, delete_sink, methods=["DELETE"]),
        Route(f"{sink}/deadletters", dead_letters, methods=["GET"]),
        Route(f"{sink}/deadletters", drop_dead_letters, methods=["DELETE"]),
    ]


async def list_groups(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    return Answer(await verbs_of(request).consumers.listed())


async def commit(request: Request) -> Response:
    """``{"sequence": n}``: everything up to it is done; ``"earliest"`` and ``"latest"`` are known too."""
    require(request, Right.SERVICE_CONNECT)
    sequence = (await read_object(request)).get("sequence")
    if sequence in ("earliest", "latest"):
        sequence = await verbs_of(request).telemetry.newest() if sequence == "latest" else 0
    if not isinstance(sequence, int) or isinstance(sequence, bool):
        raise InvalidInput("sequence is not one", hint="a number, earliest or latest", field="sequence")
    return Answer(await verbs_of(request).consumers.commit(request.path_params["group"], sequence))


async def delete_group(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    await verbs_of(request).consumers.delete(request.path_params["group"])
    return Response(status_code=204)


async def list_sinks(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    return Answer(await verbs_of(request).sinks.listed())


async def get_sink(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    found = await verbs_of(request).sinks.get(request.path_params["sink"])
    return Answer(found, headers={"etag": f'"{found["etag"]}"'})


async def put_sink(request: Request) -> Response:
    """A sink makes the hub call out: that is for who may change things and read events."""
    _require_owner(request)
    document = await read_object(request)
    after = _number(request, "after") if "after" in request.query_params else None
    made = await verbs_of(request).sinks.put(
        document, request.path_params["sink"], if_match(request), after=after
    )
    return Answer(made, headers={"etag": f'"{made["etag"]}"'})


async def delete_sink(request: Request) -> Response:
    _require_owner(request)
    await verbs_of(request).sinks.delete(request.path_params["sink"], if_match(request))
    return Response(status_code=204)


async def dead_letters(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    after = _number(request, "after") if "after" in request.query_params else 0
    return Answer(await verbs_of(request).sinks.dead_letters(request.path_params["sink"], after))


async def drop_dead_letters(request: Request) -> Response:
    _require_owner(request)
    dropped = await verbs_of(request).sinks.drop_dead_letters(
        request.path_params["sink"], _number(request, "through")
    )
    return Answer({"dropped": dropped})


def _require_owner(request: Request) -> None:
    for right in (Right.REGISTRY_WRITE, Right.SERVICE_CONNECT):
        require(request, right)


def _number(request: Request, field: str) -> int:
    text = request.query_params.get(field, "")
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 19):
        raise InvalidInput(f"{field} is {text[:40]!r}", hint="a number from 0", field=field)
    return int(text)
