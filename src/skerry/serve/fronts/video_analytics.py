"""The HTTP extension of Live Video Analytics / Azure Video Analyzer: a frame in, inferences out."""

from __future__ import annotations

from skerry.errors import SkerryError, Unsupported
from skerry.serve.answer import Scored
from skerry.serve.fronts.answers import Plane, essence, json_response, provenance, retry_after, status_of
from skerry.serve.fronts.schemas import INFERENCES, TEXT, WHOLE, error, record
from skerry.serve.http.message import Request, Response
from skerry.serve.http.router import Route
from skerry.serve.protocol import Json

FRONT = "video_analytics"
PATH = "/video-analytics"

# What the media graph's image encoder sends. image/x-raw has no size in it; the graph can be set to JPEG.
TYPES = ("image/jpeg", "image/png", "image/bmp")


def video_analytics_routes(plane: Plane) -> list[Route]:
    """One path for the graph's ``url``."""
    front = _Front(plane)
    responses = {
        200: "Classifications, best first",
        204: "No class reaches the threshold",
        400: "Not an image",
        413: "Too many bytes or pixels",
        415: "Another content type, image/x-raw included",
        503: "Too many frames wait; try again after Retry-After seconds",
    }
    gives = {200: INFERENCES, 0: error("error", record({"code": WHOLE, "message": TEXT}))}
    return [Route("POST", PATH, front.frame, failed, "Classify a video frame", TYPES, responses, gives=gives)]


def failed(error: SkerryError) -> Response:
    """An error as the extension's samples tell it."""
    status = status_of(error)
    return json_response({"error": {"code": status, "message": str(error)}}, status, retry_after(status))


class _Front:
    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    async def frame(self, request: Request) -> Response:
        kind = essence(request)
        if kind not in TYPES:
            raise Unsupported(f"frames of type {kind[:100] or 'unknown'}", hint=f"send {', '.join(TYPES)}")
        [scored] = await self._plane.score(FRONT, [request.body], request)
        if not scored.predictions:
            return Response(204, headers=provenance([scored]))
        return json_response({"inferences": _inferences(scored)}, headers=provenance([scored]))


def _inferences(scored: Scored) -> list[Json]:
    return [
        {
            "type": "classification",
            "subtype": each.id,
            "classification": {"tag": {"value": each.label, "confidence": each.score}, "attributes": []},
        }
        for each in scored.predictions
    ]
