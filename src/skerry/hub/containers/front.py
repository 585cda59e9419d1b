"""The registry over HTTP: ``/v2/`` of the OCI distribution specification 1.1, as an ASGI application."""

from __future__ import annotations

import json
import logging
import re
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from skerry.clock import iso
from skerry.errors import InvalidInput, NotAuthenticated, SkerryError, Unsupported
from skerry.hub.audit import Audit
from skerry.hub.containers import blob_routes, manifest_routes
from skerry.hub.containers.access import TOKEN_LIFE_S, Access, Grant
from skerry.hub.containers.containers import Containers
from skerry.hub.containers.refusals import refusal
from skerry.hub.containers.requests import access_of, containers_of, document_body, grant_of, shown_by

log = logging.getLogger(__name__)

VERSION = {"docker-distribution-api-version": "registry/2.0"}
JSON = "application/json"
# OAuth2 (RFC 6749 §4.3) has seven.
FORM_FIELDS_MAX = 20
# What may stand in a Host header; anything else is not repeated to the client.
HOST = re.compile(r"[A-Za-z0-9.\-\[\]:]{1,300}")


def registry_application(containers: Containers, access: Access, audit: Audit) -> Starlette:
    """The application to mount at ``/v2``."""
    application = Starlette(
        routes=[
            Route("/", version, methods=["GET", "HEAD"]),
            Route("/token", token, methods=["GET", "POST"]),
            *manifest_routes.routes(),
            *blob_routes.routes(),
        ],
        exception_handlers={SkerryError: render_error, HTTPException: render_http_error},
    )
    application.state.containers = containers
    application.state.access = access
    application.state.audit = audit
    return application


async def version(request: Request) -> Response:
    """Whether this is a registry, and whether the caller is known."""
    grant_of(request)
    return Response(b"{}", headers=VERSION, media_type=JSON)


async def token(request: Request) -> Response:
    """A token for a Basic login (Docker), or for name and password in a form (containerd, OAuth2)."""
    access = access_of(request)
    if request.method == "POST":
        grant, scopes = await _by_form(request)
    else:
        grant = access.login(request.headers.get("authorization"), shown_by(request))
        scopes = request.query_params.getlist("scope")
    text = access.token(grant, scopes)
    document = {
        "token": text,
        "access_token": text,
        "expires_in": TOKEN_LIFE_S,
        "issued_at": iso(containers_of(request).clock.now()),
    }
    return Response(json.dumps(document), headers={"cache-control": "no-store"}, media_type=JSON)


async def _by_form(request: Request) -> tuple[Grant, list[str]]:
    try:
        values = dict(parse_qsl((await document_body(request)).decode(), max_num_fields=FORM_FIELDS_MAX))
    except ValueError as exc:
        raise InvalidInput("the form cannot be read") from exc
    if values.get("grant_type") != "password":
        raise Unsupported("only grant_type=password is given tokens", hint="log in with name and password")
    if "username" not in values or "password" not in values:
        raise InvalidInput("the form has no username or no password")
    grant = access_of(request).login_with(values["username"], values["password"])
    return grant, values.get("scope", "").split()


async def render_error(request: Request, error: Exception) -> Response:
    """One of our errors as the specification writes them; who is unknown is told where to log in."""
    assert isinstance(error, SkerryError)
    status, body = refusal(error)
    # A push asks for every blob before it sends it: what is not there is no news.
    level = logging.ERROR if status >= 500 else logging.DEBUG if status in (401, 404) else logging.INFO
    log.log(level, "%s %r refused with %d: %s", request.method, request.url.path, status, error)
    headers = dict(VERSION)
    if isinstance(error, NotAuthenticated):
        headers["www-authenticate"] = _challenge(request)
    return Response(body, status_code=status, headers=headers, media_type=JSON)


async def render_http_error(request: Request, error: Exception) -> Response:
    """An unknown path or method."""
    assert isinstance(error, HTTPException)
    code = "UNSUPPORTED" if error.status_code == 405 else "NAME_UNKNOWN"
    body = {"errors": [{"code": code, "message": str(error.detail)}]}
    return Response(json.dumps(body), status_code=error.status_code, headers=VERSION, media_type=JSON)


def _challenge(request: Request) -> str:
    host = request.headers.get("host", "")
    if not HOST.fullmatch(host):
        return 'Basic realm="skerry hub"'
    scope = ""
    name = request.path_params.get("name")
    if isinstance(name, str) and re.fullmatch(r"[a-z0-9._/\-]{1,200}", name):
        actions = "pull" if request.method in ("GET", "HEAD") else "pull,push"
        actions = "delete" if request.method == "DELETE" else actions
        scope = f',scope="repository:{name}:{actions}"'
    elif request.url.path.endswith("/_catalog"):
        scope = ',scope="registry:catalog:*"'
    return f'Bearer realm="{request.url.scheme}://{host}/v2/token",service="{host}"{scope}'
