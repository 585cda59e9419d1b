"""REST: devices as digital twins (contract §4.2): a view of the twin, and names for its methods."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.contract.digital_twin import desired_patch, digital_twin, method_name
from skerry.contract.json_text import compact, parse_json
from skerry.contract.method import MethodRequest
from skerry.contract.names import Identity
from skerry.errors import InvalidInput
from skerry.hub.fresh import fresh_tracking
from skerry.hub.policies import Right
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.bodies import read_body
from skerry.hub.rest.callers import device_in, if_match, require, verbs_of


def routes() -> list[BaseRoute]:
    twin = "/digitaltwins/{device}"
    return [
        Route(twin, get_twin, methods=["GET"]),
        Route(twin, patch_twin, methods=["PATCH"]),
        Route(f"{twin}/commands/{{command}}", invoke, methods=["POST"]),
        Route(f"{twin}/components/{{component}}/commands/{{command}}", invoke, methods=["POST"]),
    ]


async def get_twin(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    device = device_in(request)
    verbs = verbs_of(request)
    model_id = verbs.registry.require(Identity(device)).model_id
    twin = verbs.twins.get(Identity(device))
    return Answer(digital_twin(device, model_id, twin), headers={"etag": f'"{twin.etag}"'})


async def patch_twin(request: Request) -> Response:
    """A JSON Patch; what it means for the desired properties is merged into them."""
    require(request, Right.SERVICE_CONNECT)
    identity = Identity(device_in(request))
    twins = verbs_of(request).twins
    patch = desired_patch(parse_json(await read_body(request)), twins.get(identity))
    changed = await twins.patch(identity, {"properties": {"desired": patch}}, if_match(request))
    location = f"/digitaltwins/{identity.device}"
    return Response(status_code=202, headers={"etag": f'"{changed.etag}"', "location": location})


async def invoke(request: Request) -> Response:
    """The command's answer as the body, its status in a header."""
    require(request, Right.SERVICE_CONNECT)
    body = await read_body(request)
    wanted = MethodRequest(
        method_name(request.path_params.get("component"), request.path_params["command"]),
        parse_json(body) if body.strip() else None,
        **{
            field: seconds
            for field, name in (
                ("response_timeout_s", "responseTimeoutInSeconds"),
                ("connect_timeout_s", "connectTimeoutInSeconds"),
            )
            if (seconds := _seconds(request, name)) is not None
        },
    )
    answer = await verbs_of(request).methods.invoke(Identity(device_in(request)), wanted)
    headers = {"x-ms-command-statuscode": str(answer.status), "x-ms-request-id": fresh_tracking()}
    return Response(compact(answer.payload).encode(), media_type="application/json", headers=headers)


def _seconds(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise InvalidInput(f"{name} is {text[:20]!r}", hint="a number of seconds", field=name)
    return int(text)
