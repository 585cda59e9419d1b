"""The Open Inference Protocol v2 over REST (KServe, Triton, MLServer), with its binary tensor extension."""

from __future__ import annotations

from skerry import __version__
from skerry.errors import NotFound, SkerryError
from skerry.serve.fronts.answers import JSON, Plane, json_response, retry_after, status_of
from skerry.serve.fronts.inference import EXTENSIONS, Inferred, ModelVerbs
from skerry.serve.fronts.outputs import infer_response
from skerry.serve.fronts.schemas import INFER_REQUEST, INFER_RESPONSE, MODEL, TEXT, error, record, rows
from skerry.serve.fronts.tensors import LENGTH_HEADER, InferInput, InferRequest, parse_infer
from skerry.serve.http.message import Answer, Later, Request, Response
from skerry.serve.http.router import Route

FRONT = "open_inference"
RESPONSES = {
    200: "The model's output",
    400: "Not a request of this protocol, or another shape than the model's",
    404: "No such model",
    413: "Too large, or more images than the queue holds",
    415: "A datatype other than FP32 and BYTES",
    503: "Too many images wait; try again after Retry-After seconds",
}
ERROR = error("error")
SERVER = record({"name": TEXT, "version": TEXT, "extensions": rows(TEXT)})


def open_inference_routes(plane: Plane) -> list[Route]:
    """Server and model metadata, health, and inference, with and without the version in the path."""
    front = _Front(plane)
    routes = [
        Route("GET", "/v2", front.server, failed, "Server metadata", gives={200: SERVER}),
        Route("GET", "/v2/health/live", front.healthy, failed, "Whether the server is alive"),
        Route("GET", "/v2/health/ready", front.healthy, failed, "Whether the server is ready"),
    ]
    known = {200: "Done", 404: "No such model"}
    for base in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes += [
            Route(
                "GET", base, front.model, failed, "Model metadata", (), known, gives={200: MODEL, 0: ERROR}
            ),
            Route(
                *("GET", f"{base}/ready", front.model_ready, failed, "Whether the model is ready", (), known),
                gives={0: ERROR},
            ),
            Route(
                *("POST", f"{base}/infer", front.infer, failed, "Infer"),
                ("application/json", "application/octet-stream"),
                *(RESPONSES, INFER_REQUEST, {200: INFER_RESPONSE, 0: ERROR}),
            ),
        ]
    return routes


def failed(error: SkerryError) -> Response:
    """An error as the protocol has it."""
    status = 404 if isinstance(error, NotFound) else status_of(error)
    return json_response({"error": str(error)}, status, retry_after(status))


class _Front:
    def __init__(self, plane: Plane) -> None:
        self._verbs = ModelVerbs(plane, FRONT)

    def server(self, _request: Request) -> Response:
        return json_response({"name": "skerry", "version": __version__, "extensions": list(EXTENSIONS)})

    def healthy(self, _request: Request) -> Response:
        return Response(200)

    def model(self, _request: Request, model: str, version: str = "") -> Response:
        self._verbs.check(model, version)
        return json_response({**self._verbs.metadata(), "parameters": self._verbs.provenance()})

    def model_ready(self, _request: Request, model: str, version: str = "") -> Response:
        self._verbs.check(model, version)
        return Response(200)

    def infer(self, request: Request, model: str, version: str = "") -> Answer:
        self._verbs.check(model, version)
        asked, given = parse_infer(request.body, request.headers.get(LENGTH_HEADER))
        if given.floats is None or len(given.floats) != 1:
            return self._infer_several(asked, given)
        # One prepared image, as cameras send them: no task, no future.
        later = Later()

        def done(found: Inferred | SkerryError) -> None:
            later.resolve(failed(found) if isinstance(found, SkerryError) else _rendered(found, asked.id))

        self._verbs.infer_soon(asked.outputs, given.floats, done, binary=asked.binary)
        return later.or_now()

    async def _infer_several(self, asked: InferRequest, given: InferInput) -> Response:
        return _rendered(await self._verbs.infer(asked.outputs, given, binary=asked.binary), asked.id)


def _rendered(found: Inferred, identifier: str) -> Response:
    body, length = infer_response(found, identifier)
    if length is None:
        return Response(200, body, JSON)
    return Response(200, body, "application/octet-stream", ((LENGTH_HEADER, str(length)),))
