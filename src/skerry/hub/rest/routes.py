"""The HTTPS front: Azure's service API, our event stream, MQTT over WebSocket, the dashboard."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Mount, WebSocketRoute
from starlette.types import Receive, Scope, Send

from skerry.clock import Clock
from skerry.errors import SkerryError
from skerry.hub.containers.access import Access
from skerry.hub.containers.front import registry_application
from skerry.hub.dashboard import pages
from skerry.hub.rest import (
    audit,
    blobs,
    certificates,
    commands,
    configurations,
    consumers,
    containers,
    device_messages,
    digital_twins,
    enrollments,
    events,
    fleet,
    identities,
    ledger,
    openapi,
    operations,
    provisioning,
    scope,
    twins,
    uploads,
)
from skerry.hub.rest.errors import render_error, render_http_error
from skerry.hub.verbs import Verbs
from skerry.mqtt.link import Handler
from skerry.mqtt.websocket import serve_websocket

# Azure's path for MQTT over WebSocket (contract §1.5).
WEBSOCKET_PATH = "/$iothub/websocket"


def web_application(verbs: Verbs, handler: Handler, *, dashboard: bool) -> Starlette:
    """The ASGI application of a hub; ``handler`` takes the MQTT links that come over WebSocket."""
    access = Access(verbs.authority, verbs.registry, verbs.clock)
    routes: list[BaseRoute] = [
        *api_routes(verbs),
        Mount("/v2", registry_application(verbs.containers, access, verbs.audit)),
        WebSocketRoute(WEBSOCKET_PATH, MqttOverWebSocket(handler, verbs.clock)),
    ]
    if dashboard:
        routes += pages.routes()
    application = Starlette(
        routes=routes,
        exception_handlers={SkerryError: render_error, HTTPException: render_http_error},
    )
    application.state.verbs = verbs
    return application


def api_routes(verbs: Verbs) -> list[BaseRoute]:
    """The service API: what the OpenAPI document describes."""
    return [
        *fleet.routes(),
        *configurations.routes(),
        *identities.routes(),
        *twins.routes(),
        *digital_twins.routes(),
        *commands.routes(),
        *device_messages.routes(),
        *uploads.routes(),
        *audit.routes(),
        *blobs.routes(),
        *consumers.routes(),
        *events.routes(),
        *ledger.routes(),
        *scope.routes(),
        *operations.routes(verbs),
        *openapi.routes(),
        *enrollments.routes(),
        *provisioning.routes(),
        *containers.routes(),
        *certificates.routes(),
    ]


class MqttOverWebSocket:
    """An ASGI endpoint that hands the connection to the MQTT head."""

    def __init__(self, handler: Handler, clock: Clock) -> None:
        self._handler = handler
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await serve_websocket(self._handler, receive, send, scope, clock=self._clock)
