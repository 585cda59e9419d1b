"""All that the module answers over HTTP, as one handler."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Awaitable, Sequence

from skerry.serve.fronts.answers import Plane, json_response
from skerry.serve.fronts.azure_ml import azure_ml_routes
from skerry.serve.fronts.custom_vision import custom_vision_routes
from skerry.serve.fronts.description import description_routes
from skerry.serve.fronts.inference import VERSION
from skerry.serve.fronts.open_inference import open_inference_routes
from skerry.serve.fronts.operations import operations_routes
from skerry.serve.fronts.video_analytics import video_analytics_routes
from skerry.serve.http.message import Answer, Handler, Later, Pairs, Request, Response
from skerry.serve.http.router import Route, Router
from skerry.serve.measures import Measures
from skerry.serve.scoring import Scorer

# What Azure ML's server accepts as an id (431 above).
ID_LENGTH_MAX = 100


def http_handler(scorer: Scorer, measures: Measures, *, latest: bool = False) -> Handler:
    """The handler for the listener; ``latest``: of a named source's images the newest wins."""
    plane = Plane(scorer, measures, latest=latest)
    routes = [
        *operations_routes(plane),
        *azure_ml_routes(plane),
        *custom_vision_routes(plane),
        *video_analytics_routes(plane),
        *open_inference_routes(plane),
    ]
    described = description_routes(
        routes,
        lambda: scorer.package.digest,
        lambda: {"model": scorer.package.name, "version": VERSION},
    )
    return handler_of([*routes, *described])


def handler_of(routes: Sequence[Route]) -> Handler:
    """The routes as a handler whose every answer carries the request ids of Azure ML's server."""
    router = Router(routes, _missing)
    # Unique without asking the kernel for randomness each time; nobody has to guess it.
    prefix, numbers = str(uuid.uuid4())[:24], itertools.count()

    def handle(request: Request) -> Answer:
        ids = request_ids(request, f"{prefix}{next(numbers):012x}")
        if ids is None:
            return json_response({"message": f"an id must not exceed {ID_LENGTH_MAX} characters"}, 431)
        answer = router(request)
        if isinstance(answer, Later):
            answer.headers += ids
            return answer
        if isinstance(answer, Response):
            return answer.with_headers(ids)
        return _settled(answer, ids)

    return handle


def request_ids(request: Request, new: str) -> Pairs | None:
    """The id headers of the answer (tutorial.md a.4); None when one of the request's is too long.

    ``x-request-id`` is the caller's or ``new``; ``x-ms-request-id`` falls back on the client's id, then on
    that one.
    """
    headers = request.headers
    own = headers.get("x-request-id") or new
    legacy = headers.get("x-ms-request-id", "")
    client = headers.get("x-ms-client-request-id", "") or legacy
    if max(len(own), len(legacy), len(client)) > ID_LENGTH_MAX:
        return None
    echoed = (("x-ms-client-request-id", client),) if client else ()
    return (("x-request-id", own), ("x-ms-request-id", legacy or client or own), *echoed)


async def _settled(answer: Awaitable[Response], ids: Pairs) -> Response:
    return (await answer).with_headers(ids)


def _missing(status: int, message: str) -> Response:
    return json_response({"message": message}, status)
