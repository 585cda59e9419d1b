"""REST: devices and modules (contract §4.2)."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.contract.configuration import Kind, parse_content
from skerry.contract.manifest import parse_manifest
from skerry.contract.names import Identity
from skerry.contract.resources import (
    DeviceRecord,
    ModuleRecord,
    device_json,
    module_json,
    parse_device_request,
    parse_module_request,
)
from skerry.errors import InvalidInput
from skerry.hub.policies import Right
from skerry.hub.registry import DEVICES_TOP_MAX
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.bodies import read_object
from skerry.hub.rest.callers import device_in, identity_in, if_match, require, require_or_own, verbs_of


def routes() -> list[BaseRoute]:
    device, module = "/devices/{device}", "/devices/{device}/modules/{module}"
    return [
        Route("/devices", list_devices, methods=["GET"]),
        # As Node's SDK writes it.
        Route("/devices/", list_devices, methods=["GET"]),
        Route(device, get_device, methods=["GET"]),
        Route(device, put_device, methods=["PUT"]),
        Route(device, delete_identity, methods=["DELETE"]),
        Route(f"{device}/modules", list_modules, methods=["GET"]),
        Route(module, get_module, methods=["GET"]),
        Route(module, put_module, methods=["PUT"]),
        Route(module, delete_identity, methods=["DELETE"]),
        Route(f"{device}/applyConfigurationContent", apply_configuration, methods=["POST"]),
        # Ours: for the moduleContent that the same body may have.
        Route(f"{module}/applyConfigurationContent", apply_configuration, methods=["POST"]),
        Route("/statistics/devices", device_statistics, methods=["GET"]),
        Route("/statistics/service", service_statistics, methods=["GET"]),
    ]


async def list_devices(request: Request) -> Response:
    require(request, Right.REGISTRY_READ)
    text = request.query_params.get("top", str(DEVICES_TOP_MAX))
    if not (text.isascii() and text.isdigit() and int(text[:9]) >= 1 and len(text) < 9):
        raise InvalidInput(f"top is {text[:40]!r}", hint=f"a number from 1 to {DEVICES_TOP_MAX}", field="top")
    records = await verbs_of(request).registry.devices(int(text))
    waiting = await verbs_of(request).commands.counts()
    return Answer(
        [_device_json(request, record, waiting.get(str(record.device_id), 0)) for record in records]
    )


async def get_device(request: Request) -> Response:
    require(request, Right.REGISTRY_READ)
    return _device(request, verbs_of(request).registry.device(device_in(request)))


async def put_device(request: Request) -> Response:
    require(request, Right.REGISTRY_WRITE)
    wanted = parse_device_request(await read_object(request), request.path_params["device"])
    return _device(request, await verbs_of(request).registry.put_device(wanted, if_match(request)))


async def delete_identity(request: Request) -> Response:
    identity = identity_in(request)
    if identity.module is None:
        require(request, Right.REGISTRY_WRITE)
    else:
        require_or_own(request, Right.REGISTRY_WRITE, identity.device)
    await verbs_of(request).registry.delete(identity, if_match(request))
    return Response(status_code=204)


async def list_modules(request: Request) -> Response:
    device = device_in(request)
    require_or_own(request, Right.REGISTRY_READ, device)
    records = verbs_of(request).registry.modules(device)
    return Answer([_module_json(request, record) for record in records])


async def get_module(request: Request) -> Response:
    identity = identity_in(request)
    require_or_own(request, Right.REGISTRY_READ, identity.device)
    return _module(request, verbs_of(request).registry.module(identity))


async def put_module(request: Request) -> Response:
    identity = identity_in(request)
    require_or_own(request, Right.REGISTRY_WRITE, identity.device)
    wanted = parse_module_request(await read_object(request), identity.device, str(identity.module))
    return _module(request, await verbs_of(request).registry.put_module(wanted, if_match(request)))


async def apply_configuration(request: Request) -> Response:
    """The whole manifest is checked before anything happens (contract §4.6)."""
    require(request, Right.REGISTRY_WRITE)
    document = await read_object(request)
    identity, deployments = identity_in(request), verbs_of(request).deployments
    # Older manifests have modulesContent under the name moduleContent.
    if identity.module is None and document.get(Kind.DEVICE.value) is None:
        await deployments.apply(identity.device, parse_manifest(document))
        return Response(status_code=204)
    kind, content = parse_content(document)
    wanted = Kind.DEVICE if identity.module is None else Kind.MODULE
    if kind is not wanted:
        raise InvalidInput(
            f"{kind.value} is not for a {'device' if identity.module is None else 'module'}",
            hint=f"send {wanted.value}",
            path=kind.value,
        )
    await deployments.apply_content(identity, content[kind.value])
    return Response(status_code=204)


async def device_statistics(request: Request) -> Response:
    require(request, Right.REGISTRY_READ)
    counts = await verbs_of(request).registry.counts()
    return Answer(
        {
            "totalDeviceCount": counts.total,
            "enabledDeviceCount": counts.enabled,
            "disabledDeviceCount": counts.total - counts.enabled,
        }
    )


async def service_statistics(request: Request) -> Response:
    require(request, Right.REGISTRY_READ)
    return Answer({"connectedDeviceCount": verbs_of(request).owners.connected_devices()})


def _device(request: Request, record: DeviceRecord) -> Response:
    waiting = verbs_of(request).commands.count(record.device_id)
    return Answer(_device_json(request, record, waiting), headers={"etag": f'"{record.etag}"'})


def _module(request: Request, record: ModuleRecord) -> Response:
    return Answer(_module_json(request, record), headers={"etag": f'"{record.etag}"'})


def _device_json(request: Request, record: DeviceRecord, waiting: int) -> dict[str, Any]:
    return device_json(record, _connected(request, record.identity), c2d_count=waiting)


def _module_json(request: Request, record: ModuleRecord) -> dict[str, Any]:
    return module_json(record, _connected(request, record.identity))


def _connected(request: Request, identity: Identity) -> bool:
    return verbs_of(request).owners.is_connected(identity)
