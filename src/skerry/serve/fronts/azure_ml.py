"""``/score`` as Azure ML's images answer it (tutorial.md a.4), plus raw images and JSON."""

from __future__ import annotations

from time import perf_counter

from skerry.errors import InvalidInput, SkerryError
from skerry.serve.answer import Scored
from skerry.serve.fronts.answers import JSON, Plane, json_response, provenance, retry_after, status_of
from skerry.serve.fronts.schemas import IMAGES, SCORED, TEXT, error, mapping
from skerry.serve.http.message import Answer, Later, Pairs, Request, Response
from skerry.serve.http.router import Route
from skerry.serve.multipart import parse_multipart
from skerry.serve.protocol import (
    UNNAMED,
    Images,
    Json,
    answer_document,
    content_kind,
    images_of_json,
    prediction_json,
    tutorial_answer,
)

FRONT = "http"
RESPONSES = {
    200: "Labels with scores, best first",
    400: "Not an image; the message names the field",
    413: "Too large: the body, or one image's pixels, or too many images",
    415: "Another content type, or an image of more than 8 bits",
    503: "Too many images wait; try again after Retry-After seconds",
}
GIVES = {200: SCORED, 0: error("message", field=TEXT)}


def azure_ml_routes(plane: Plane) -> list[Route]:
    """``POST /score``, and ``GET /score`` with facts about the model."""
    front = _Front(plane)
    consumes = ("multipart/form-data", "image/jpeg", "image/png", "application/octet-stream", JSON)
    return [
        Route("POST", "/score", front.score, failed, "Score images", consumes, RESPONSES, IMAGES, GIVES),
        Route("GET", "/score", front.describe, failed, "What scores here", gives={200: mapping({})}),
    ]


def failed(error: SkerryError) -> Response:
    """An error as ``/score`` tells it."""
    status = status_of(error)
    document: dict[str, Json] = {"message": str(error)}
    if "field" in error.fields:
        document["field"] = error.fields["field"]
    return json_response(document, status, (*function_headers(failed=True), *retry_after(status)))


def function_headers(*, failed: bool, milliseconds: float | None = None) -> Pairs:
    """The headers by which Azure ML tells how the scoring function fared."""
    took = () if milliseconds is None else (("x-ms-run-fn-exec-ms", f"{milliseconds:.3f}"),)
    return (("x-ms-run-function-failed", str(failed)), *took)


class _Front:
    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def score(self, request: Request) -> Answer:
        started = perf_counter()
        content_type = request.headers.get("content-type", "")
        kind = content_kind(content_type)
        if kind == "image":
            later = Later()

            def done(found: Scored | SkerryError) -> None:
                later.resolve(_of_one(found, started))

            try:
                if self._plane.score_soon(FRONT, request.body, done):
                    return later.or_now()
            except SkerryError as exc:
                _name(exc, [UNNAMED])
                raise
        return self._score(request, kind, content_type, started)

    async def _score(self, request: Request, kind: str, content_type: str, started: float) -> Response:
        images = _images(kind, request.body, content_type)
        names = list(images)
        try:
            scored = await self._plane.score(FRONT, list(images.values()), request)
        except SkerryError as exc:
            _name(exc, names)
            raise
        results = dict(zip(names, scored, strict=True))
        total_ms = (perf_counter() - started) * 1000
        headers = function_headers(failed=False, milliseconds=total_ms)
        if kind == "multipart":
            document = tutorial_answer(results, total_ms)
            return json_response(document, headers=(*headers, *provenance(scored)))
        # The model that scored: the scorer may have another one by now.
        headers += (("x-skerry-model", scored[0].model),)
        return json_response(answer_document(results), headers=headers)

    def describe(self, _request: Request) -> Response:
        """The driver of the tutorial answered GET with facts about where it runs; these are ours."""
        scorer = self._plane.scorer
        return json_response(
            {
                "model": scorer.package.digest,
                "recipe": scorer.package.recipe.digest,
                "engine": scorer.predictor.engine,
                "classes": len(scorer.package.recipe.output.labels),
                "topK": scorer.settings.top_k,
                "threshold": scorer.settings.threshold,
                "computes": "in the loop" if scorer.in_loop else "on a thread",
            }
        )


def _of_one(found: Scored | SkerryError, started: float) -> Response:
    """The answer for a raw image."""
    if isinstance(found, SkerryError):
        _name(found, [UNNAMED])
        return failed(found)
    headers = function_headers(failed=False, milliseconds=(perf_counter() - started) * 1000)
    return Response(200, prediction_json(found), JSON, (*headers, ("x-skerry-model", found.model)))


def _images(kind: str, body: bytes, content_type: str) -> Images:
    if kind == "json":
        return images_of_json(body)
    images = parse_multipart(body, content_type) if kind == "multipart" else {UNNAMED: body}
    if not images:
        raise InvalidInput("no image in the request", hint="curl -F image=@picture.jpg", field=UNNAMED)
    return images


def _name(error: SkerryError, names: list[str]) -> None:
    """Let the error name the field instead of the position."""
    index = error.fields.pop("index", None)
    if isinstance(index, int):
        error.fields["field"] = names[index]
        error.what = f"{names[index]}: {error.what}"
