"""The routes and answers of Custom Vision's exported containers and of its prediction service."""

from __future__ import annotations

import uuid

from skerry.clock import iso
from skerry.errors import InvalidInput, SkerryError, TooLarge, Unsupported
from skerry.serve.answer import Scored
from skerry.serve.fronts.answers import Plane, essence, json_response, provenance, retry_after, status_of
from skerry.serve.fronts.schemas import CUSTOM_VISION, TEXT, error
from skerry.serve.http.message import Request, Response
from skerry.serve.http.router import Route
from skerry.serve.multipart import parse_multipart
from skerry.serve.protocol import Json

FRONT = "custom_vision"

# The containers' and the service's own bound.
IMAGE_BYTES_MAX = 4 * 1024 * 1024

# Where the service expects the picture in a form; the containers take it too.
FIELD = "imageData"

# Ids in the answers are UUIDs made from what the model calls a class, so that they stay the same.
NAMESPACE = uuid.UUID("5f1e4b3e-5d0b-5f61-9c39-4c7f0f3a6f0a")

PATHS = (
    "/image",
    "/image/nostore",
    "/{project}/image",
    "/{project}/image/nostore",
    "/{project}/classify/iterations/{iteration}/image",
    "/{project}/classify/iterations/{iteration}/image/nostore",
)
RESPONSES = {
    200: "Tags with probabilities, best first",
    400: "Not an image",
    413: "More than 4 MB, or too many pixels",
    415: "Another content type, or an image of more than 8 bits",
    503: "Too many images wait; try again after Retry-After seconds",
}


def custom_vision_routes(plane: Plane) -> list[Route]:
    """Images by body or form. ``/url`` is there to say no: a device fetches nothing for a caller."""
    front = _Front(plane)
    consumes = ("application/octet-stream", "multipart/form-data", "image/jpeg", "image/png")
    summary = "Classify an image as Custom Vision does"
    gives = {200: CUSTOM_VISION, 0: error("message", code=TEXT)}
    routes = [
        Route("POST", path, front.image, failed, summary, consumes, RESPONSES, gives=gives) for path in PATHS
    ]
    for path in PATHS:
        refused = path.replace("/image", "/url")
        responses = {415: "Always: send the image itself"}
        routes.append(
            Route(
                *("POST", refused, front.url, failed, "Not offered", ("application/json",), responses),
                gives=gives,
            )
        )
    return routes


def failed(error: SkerryError) -> Response:
    """An error as the prediction service tells it."""
    status = status_of(error)
    code = {400: "BadRequestImageFormat", 413: "BadRequestImageSizeBytes"}.get(status, "ErrorUnknown")
    return json_response({"code": code, "message": str(error)}, status, retry_after(status))


class _Front:
    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    async def image(self, request: Request, project: str = "", iteration: str = "") -> Response:
        [scored] = await self._plane.score(FRONT, [_image(request)], request)
        return json_response(_document(scored, project, iteration), headers=provenance([scored]))

    def url(self, _request: Request, _project: str = "", _iteration: str = "") -> Response:
        raise Unsupported("images are not fetched from addresses", hint="send the image itself to …/image")


def _image(request: Request) -> bytes:
    if len(request.body) > IMAGE_BYTES_MAX:
        raise TooLarge("the image is too large", hint="send at most 4 MB")
    kind = essence(request)
    if kind == "multipart/form-data":
        parts = parse_multipart(request.body, request.headers["content-type"])
        if not parts:
            raise InvalidInput("no image in the form", field=FIELD)
        return parts.get(FIELD) or next(iter(parts.values()))
    if kind in ("", "application/octet-stream") or kind.startswith("image/"):
        return request.body
    raise Unsupported(f"cannot read an image from {kind[:100]}", hint="send application/octet-stream")


def _document(scored: Scored, project: str, iteration: str) -> Json:
    return {
        "id": str(uuid.uuid4()),
        "project": project,
        "iteration": iteration,
        "created": iso(scored.at),
        "predictions": [
            {
                "probability": each.score,
                "tagId": str(uuid.uuid5(NAMESPACE, each.id)),
                "tagName": each.label,
                "boundingBox": None,
            }
            for each in scored.predictions
        ],
    }
