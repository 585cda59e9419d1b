"""REST: the identities an edge hub vouches for, those in its device's scope (contract §6.10)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.contract.names import HUB_MODULE, Identity, ModuleId
from skerry.contract.resources import device_json
from skerry.errors import NotAllowed
from skerry.hub.authority import DeviceCaller
from skerry.hub.policies import Right
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.callers import caller_of, device_in, require, verbs_of


def routes() -> list[BaseRoute]:
    path = "/devices/{device}/modules/$edgeHub/devicesAndModulesInDeviceScope"
    return [Route(path, devices_in_scope, methods=["GET"])]


async def devices_in_scope(request: Request) -> Response:
    """The child devices with their keys, for the edge device itself or its edge hub only."""
    device = device_in(request)
    caller = caller_of(request)
    if isinstance(caller, DeviceCaller):
        if caller.identity not in (Identity(device), Identity(device, ModuleId(HUB_MODULE))):
            raise NotAllowed("a device may read only its own scope")
    else:
        require(request, Right.REGISTRY_READ)
    verbs = verbs_of(request)
    children = await verbs.registry.children(device)
    documents = [
        device_json(child, verbs.owners.is_connected(child.identity), c2d_count=0) for child in children
    ]
    answer = {"devices": documents, "modules": [], "continuationLink": ""}
    if any(child.auth_type == "certificateAuthority" for child in children):
        # Ours: a gateway needs them to judge its children's certificates without us.
        answer["certificateAuthorities"] = [one.pem for one in verbs.certificates.listed() if one.verified]
    return Answer(answer)
