"""The management API on a local socket, for ``skerry edge list|logs|restart|status`` (contract.md §3.4)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from skerry.contract.json_text import compact
from skerry.contract.workload import error_response
from skerry.errors import InvalidInput, NotFound, SkerryError, Throttled, Unavailable, Unsupported
from skerry.service.http import AsgiApp, ErrorMiddleware
from skerry.service.metrics import CONTENT_TYPE

_STATUS: Mapping[type[SkerryError], int] = {
    InvalidInput: 400,
    NotFound: 404,
    Throttled: 429,
    Unsupported: 501,
    Unavailable: 503,
}
# name, tail, since, until (text as the user gave it), follow → lines
Logs = Callable[[str, int | None, str | None, str | None, bool], AsyncIterator[bytes]]
# since, until, runtime only → a zip archive
Bundle = Callable[[str | None, str | None, bool], Awaitable[bytes]]


@dataclass(frozen=True)
class Runtime:
    """What the API shows and does; given by whoever wires the runtime."""

    modules: Callable[[], dict[str, dict[str, Any]]]
    status: Callable[[], dict[str, Any]]
    system_info: Callable[[], dict[str, Any]]
    logs: Logs
    restart: Callable[[str], Awaitable[None]]
    metrics: Callable[[], bytes]
    why: Callable[[str], Awaitable[dict[str, Any]]]
    bundle: Bundle
    reprovision: Callable[[], Awaitable[dict[str, Any]]]
    # since, until → the runtime's own last lines
    own_log: Callable[[str | None, str | None], str]
    set_log_level: Callable[[str], None]


def management_app(runtime: Runtime) -> AsgiApp:
    """The ASGI application."""

    async def modules(request: Request) -> Response:
        return JSONResponse({"modules": [_details(n, m) for n, m in sorted(runtime.modules().items())]})

    async def module(request: Request) -> Response:
        name = request.path_params["name"]
        if (found := runtime.modules().get(name)) is None:
            raise NotFound(f"there is no module {name}", module=name)
        return JSONResponse(_details(name, found))

    async def restart(request: Request) -> Response:
        await runtime.restart(request.path_params["name"])
        return Response(status_code=204)

    async def logs(request: Request) -> Response:
        query = request.query_params
        lines = runtime.logs(
            request.path_params["name"],
            _tail(query.get("tail")),
            query.get("since"),
            query.get("until"),
            _is_true(query.get("follow")),
        )
        return await _stream(lines)

    async def why(request: Request) -> Response:
        return JSONResponse(await runtime.why(request.path_params["name"]))

    async def bundle(request: Request) -> Response:
        query = request.query_params
        only = _is_true(query.get("edge_runtime_only"))
        data = await runtime.bundle(query.get("since"), query.get("until"), only)
        return Response(data, media_type="application/zip")

    async def reprovision(request: Request) -> Response:
        return JSONResponse(await runtime.reprovision())

    async def system_info(request: Request) -> Response:
        return JSONResponse(runtime.system_info())

    async def own_log(request: Request) -> Response:
        query = request.query_params
        return PlainTextResponse(runtime.own_log(query.get("since"), query.get("until")))

    async def set_log_level(request: Request) -> Response:
        runtime.set_log_level(request.path_params["level"])
        return Response(status_code=204)

    async def status(request: Request) -> Response:
        return JSONResponse({**runtime.status(), "modules": runtime.modules()})

    async def metrics(request: Request) -> Response:
        return Response(runtime.metrics(), headers={"content-type": CONTENT_TYPE})

    routes = [
        Route("/modules", modules),
        Route("/modules/{name}", module),
        Route("/modules/{name}/restart", restart, methods=["POST"]),
        Route("/modules/{name}/logs", logs),
        Route("/modules/{name}/why", why),
        Route("/device/reprovision", reprovision, methods=["POST"]),
        Route("/systeminfo", system_info),
        Route("/systeminfo/supportbundle", bundle),
        Route("/systeminfo/logs", own_log),
        Route("/systeminfo/loglevel/{level}", set_log_level, methods=["PUT"]),
        Route("/status", status),
        Route("/metrics", metrics),
    ]
    return Starlette(routes=routes, middleware=[Middleware(ErrorMiddleware, render=_render)])


def metrics_app(exposition: Callable[[], bytes]) -> AsgiApp:
    """Only the numbers, for Prometheus over TCP."""

    async def metrics(request: Request) -> Response:
        return Response(exposition(), headers={"content-type": CONTENT_TYPE})

    return Starlette(routes=[Route("/metrics", metrics)])


async def _stream(lines: AsyncIterator[bytes]) -> Response:
    """A stream whose first line is read already, so that an unknown module is a 404."""
    try:
        first = await anext(lines, None)
    except StopAsyncIteration:
        first = None

    async def body() -> AsyncIterator[bytes]:
        if first is not None:
            yield first + b"\n"
            async for line in lines:
                yield line + b"\n"

    return StreamingResponse(body(), media_type="text/plain; charset=utf-8")


def _details(name: str, module: Mapping[str, Any]) -> dict[str, Any]:
    """Microsoft's ModuleDetails."""
    return {
        "id": name,
        "name": name,
        "type": "docker",
        "config": {"settings": module.get("settings", {}), "env": []},
        "status": {
            "startTime": module.get("lastStartTimeUtc"),
            "exitStatus": {
                "exitTime": module.get("lastExitTimeUtc"),
                "statusCode": str(module.get("exitCode", 0)),
            },
            "runtimeStatus": {
                "status": module.get("runtimeStatus", "unknown"),
                "description": module.get("statusDescription", ""),
            },
        },
        "restartCount": module.get("restartCount", 0),
    }


def _is_true(text: str | None) -> bool:
    return (text or "").lower() == "true"


def _tail(text: str | None) -> int | None:
    if text is None or text == "all":
        return None
    if not text.isdecimal():
        raise InvalidInput("tail is a number of lines, or all", path="tail", value=text[:40])
    return int(text)


def _render(error: SkerryError) -> tuple[int, Mapping[str, str], bytes]:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    return status, {"Content-Type": "application/json"}, compact(error_response(str(error))).encode()
