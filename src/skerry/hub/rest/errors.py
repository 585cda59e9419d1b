"""Errors as the service API answers them (contract §4.1)."""

from __future__ import annotations

import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from skerry.clock import iso
from skerry.contract.resources import error_body, error_code
from skerry.errors import NotAuthenticated, SkerryError
from skerry.hub.fresh import fresh_tracking
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.callers import verbs_of

log = logging.getLogger(__name__)

# Names for what the HTTP layer itself refuses.
HTTP_NAMES = {404: "NotFound", 405: "MethodNotAllowed"}
# Fields of an error that tell a program where the fault is; they go along in the body.
TELLING = ("path", "position", "expected", "field", "value", "code", "reason")


async def render_error(request: Request, error: Exception) -> Response:
    """The response for one of our errors; a fault of ours is logged with its tracking id."""
    assert isinstance(error, SkerryError)
    noun = "Module" if "/modules/" in request.url.path else "Device"
    status, name = error_code(error, noun)
    response = _response(request, status, name, str(error), _telling(error))
    if isinstance(error, NotAuthenticated) and request.url.path in ("/", "/dashboard"):
        response.headers["www-authenticate"] = 'Basic realm="skerry hub", charset="UTF-8"'
    return response


async def render_http_error(request: Request, error: Exception) -> Response:
    """The response for an unknown path or method."""
    assert isinstance(error, HTTPException)
    name = HTTP_NAMES.get(error.status_code, "ArgumentInvalid")
    return _response(request, error.status_code, name, str(error.detail), {})


def _response(request: Request, status: int, name: str, text: str, more: dict[str, object]) -> Response:
    tracking = fresh_tracking()
    if status >= 500:
        log.error("%s %r: %s (tracking id %s)", request.method, request.url.path, text, tracking)
    else:
        log.info("%s %r refused with %d %s: %s", request.method, request.url.path, status, name, text)
    body = error_body(name, text, tracking, iso(verbs_of(request).clock.now()))
    return Answer({**body, **more}, status, headers={"iothub-errorcode": name})


def _telling(error: SkerryError) -> dict[str, object]:
    simple = (str, int, float, bool, type(None))
    return {
        name: value if isinstance(value, simple) else repr(value)[:200]
        for name, value in error.fields.items()
        if name in TELLING
    }
