"""Errors as the service API answers them (contract §4.1)."""

from __future__ import annotations

import logging
import math

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from skerry.clock import iso
from skerry.contract.provisioning import RETRY_AFTER_S, error_document
from skerry.contract.resources import error_body, error_code
from skerry.errors import NotAuthenticated, SkerryError
from skerry.hub.fresh import fresh_tracking
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.callers import verbs_of
from skerry.protocol.provisioning_head import refusal

log = logging.getLogger(__name__)

# The service API of provisioning has errors of its own shape (contract §5.4).
ENROLLMENT_PATHS = (
    "/enrollments",
    "/enrollmentGroups",
    "/enrollmentgroups",
    "/registrations",
    "/provisioning",
)
# Names for what the HTTP layer itself refuses.
HTTP_NAMES = {404: "NotFound", 405: "MethodNotAllowed"}
# Fields of an error that tell a program where the fault is; they go along in the body.
TELLING = ("path", "position", "expected", "field", "value", "code", "reason")


async def render_error(request: Request, error: Exception) -> Response:
    """The response for one of our errors; a fault of ours is logged with its tracking id."""
    assert isinstance(error, SkerryError)
    noun = _noun(request.url.path)
    status, name = error_code(error, noun)
    if {"scope", "registration"} <= request.path_params.keys():
        return _to_device(request, error)
    response = _response(request, status, name, str(error), _telling(error))
    if isinstance(error, NotAuthenticated) and request.url.path in ("/", "/dashboard"):
        response.headers["www-authenticate"] = 'Basic realm="skerry hub", charset="UTF-8"'
    if isinstance(wait_s := error.fields.get("retry_after_s"), float):
        response.headers["retry-after"] = str(max(math.ceil(wait_s), 1))
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
    body = _body(request, status, name, text, tracking)
    return Answer({**body, **more}, status, headers={"iothub-errorcode": name})


def _body(request: Request, status: int, name: str, text: str, tracking: str) -> dict[str, object]:
    now = iso(verbs_of(request).clock.now())
    if request.url.path.startswith(ENROLLMENT_PATHS):
        return error_document(status, text, tracking, now)
    return dict(error_body(name, text, tracking, now))


def _to_device(request: Request, error: SkerryError) -> Response:
    """For a device, or who says to be one: not told why it is refused; the tracking id is in the log too."""
    tracking = fresh_tracking()
    log.info("%s %r refused: %s (tracking id %s)", request.method, request.url.path, error, tracking)
    status, text = refusal(error)
    headers = {"retry-after": str(RETRY_AFTER_S)} if status >= 500 else {}
    body = error_document(status, text, tracking, iso(verbs_of(request).clock.now()))
    return Answer(body, status, headers=headers)


def _noun(path: str) -> str:
    """What a path is about, as the error codes name it."""
    if path.startswith("/configurations"):
        return "Configuration"
    if path.startswith("/jobs"):
        return "Job"
    if path.startswith(ENROLLMENT_PATHS):
        return "Registration" if path.startswith("/registrations") else "Enrollment"
    if path.startswith("/certificates"):
        return "Certificate"
    return "Module" if "/modules/" in path else "Device"


def _telling(error: SkerryError) -> dict[str, object]:
    simple = (str, int, float, bool, type(None))
    return {
        name: value if isinstance(value, simple) else repr(value)[:200]
        for name, value in error.fields.items()
        if name in TELLING
    }
