"""The CNN module's HTTP surface: what Microsoft's tutorial image answers, plus raw images and operations."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from skerry.errors import InvalidInput, SkerryError, Throttled, TooLarge, Unavailable, Unsupported
from skerry.serve.answer import Scored
from skerry.serve.measures import Measures
from skerry.serve.multipart import parse_multipart
from skerry.serve.protocol import (
    UNNAMED,
    Images,
    Json,
    answer_document,
    content_kind,
    encode,
    images_of_json,
    tutorial_answer,
)
from skerry.serve.scoring import Scorer
from skerry.serve.swagger import swagger_document
from skerry.service.metrics import CONTENT_TYPE

log = logging.getLogger(__name__)

# Six full-size photographs, as the tutorial sends them, fit; one request cannot fill a small device.
BODY_BYTES_MAX = 32 * 1024 * 1024

# Half of the queue is done by then with a model of 30 ms.
RETRY_AFTER_S = 1

STATUS: tuple[tuple[type[SkerryError], int], ...] = (
    (TooLarge, 413),
    (Throttled, 503),
    (Unavailable, 503),
    (Unsupported, 415),
    (InvalidInput, 400),
)

Endpoint = Callable[[Request], Awaitable[Response]]


def http_app(scorer: Scorer, measures: Measures) -> Starlette:
    """The ASGI application; it holds nothing of its own and may be made more than once."""
    front = _Front(scorer, measures)
    return Starlette(
        routes=[
            Route("/", _answers(front.healthy)),
            Route("/score", _answers(front.score), methods=["POST"]),
            Route("/score", _answers(front.describe), methods=["GET", "OPTIONS"]),
            Route("/image", _answers(front.score), methods=["POST"]),
            Route("/healthz", _answers(front.healthy)),
            Route("/readyz", _answers(front.ready)),
            Route("/metrics", _answers(front.metrics)),
            Route("/swagger.json", _answers(front.swagger)),
        ],
        exception_handlers={HTTPException: _http_error},
    )


class _Front:
    def __init__(self, scorer: Scorer, measures: Measures) -> None:
        self._scorer = scorer
        self._measures = measures

    async def score(self, request: Request) -> Response:
        started = perf_counter()
        body = await _body(request)
        content_type = request.headers.get("content-type", "")
        kind = content_kind(content_type)
        images = _images(kind, body, content_type)
        results = await self._results(images)
        total_ms = (perf_counter() - started) * 1000
        document = tutorial_answer(results, total_ms) if kind == "multipart" else answer_document(results)
        return _json(
            document,
            headers={
                "x-ms-run-function-failed": "False",
                "x-ms-run-fn-exec-ms": f"{total_ms:.3f}",
                "x-skerry-model": self._scorer.package.digest,
            },
        )

    async def _results(self, images: Images) -> Mapping[str, Scored]:
        names = list(images)
        try:
            scored = await self._scorer.score(list(images.values()))
        except SkerryError as exc:
            self._measures.refused("http", exc)
            index = exc.fields.pop("index", None)
            if isinstance(index, int):
                exc.fields["field"] = names[index]
                exc.what = f"{names[index]}: {exc.what}"
            raise
        self._measures.scored("http", scored)
        return dict(zip(names, scored, strict=True))

    async def describe(self, _request: Request) -> Response:
        """The driver of the tutorial answered GET with facts about where it runs; these are ours."""
        recipe = self._scorer.package.recipe
        return _json(
            {
                "model": self._scorer.package.digest,
                "recipe": recipe.digest,
                "engine": self._scorer.predictor.engine,
                "classes": len(recipe.output.labels),
                "topK": self._scorer.settings.top_k,
                "threshold": self._scorer.settings.threshold,
            }
        )

    async def healthy(self, _request: Request) -> Response:
        return PlainTextResponse("Healthy", media_type="text/html")

    async def ready(self, _request: Request) -> Response:
        return _json({"ready": True, "model": self._scorer.package.digest, "waiting": self._scorer.waiting})

    async def metrics(self, _request: Request) -> Response:
        return Response(self._measures.exposition(self._scorer.waiting), media_type=CONTENT_TYPE)

    async def swagger(self, _request: Request) -> Response:
        return _json(swagger_document(self._scorer.package.digest))


async def _body(request: Request) -> bytes:
    """The whole body; TooLarge as soon as it is known to be over the bound."""
    too_large = TooLarge(
        "the request is too large", hint=f"send at most {BODY_BYTES_MAX // 1024 // 1024} MiB"
    )
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > BODY_BYTES_MAX:
        raise too_large
    received, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise too_large
        received.append(chunk)
    return b"".join(received)


def _images(kind: str, body: bytes, content_type: str) -> Images:
    if kind == "json":
        return images_of_json(body)
    images = parse_multipart(body, content_type) if kind == "multipart" else {UNNAMED: body}
    if not images:
        raise InvalidInput("no image in the request", hint="curl -F image=@picture.jpg", field=UNNAMED)
    return images


def _answers(endpoint: Endpoint) -> Endpoint:
    """The endpoint with errors rendered and request ids as Azure ML's server returns them."""

    async def answer(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except SkerryError as exc:
            response = _error(exc)
        except ClientDisconnect:
            response = Response(status_code=400)
        asked = request.headers.get("x-ms-client-request-id", "")[:128]
        response.headers["x-request-id"] = secrets.token_hex(16)
        response.headers["x-ms-request-id"] = asked or response.headers["x-request-id"]
        if asked:
            response.headers["x-ms-client-request-id"] = asked
        return response

    return answer


def _error(exc: SkerryError) -> Response:
    status = next((status for kind, status in STATUS if isinstance(exc, kind)), 500)
    if status == 500:
        log.error("scoring failed: %s", exc)
    document: dict[str, Json] = {"message": str(exc)}
    if "field" in exc.fields:
        document["field"] = exc.fields["field"]
    headers = {"x-ms-run-function-failed": "True"}
    if status == 503:
        headers["retry-after"] = str(RETRY_AFTER_S)
    # The rest of a body that is too large is not read, so the connection cannot be used again.
    if status == 413:
        headers["connection"] = "close"
    return _json(document, status, headers)


async def _http_error(_request: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    detail = exc.detail if isinstance(exc, HTTPException) else "error"
    headers = dict(exc.headers or {}) if isinstance(exc, HTTPException) else {}
    return _json({"message": detail}, status, headers)


def _json(document: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(encode(document), status, headers, "application/json")
