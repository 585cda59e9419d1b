"""The Open Inference Protocol v2 over REST (KServe, Triton, MLServer), with its binary tensor extension."""

from __future__ import annotations

import numpy as np

from skerry import __version__
from skerry.errors import InvalidInput, NotFound, SkerryError
from skerry.package.postprocess import scores
from skerry.package.recipe import Recipe
from skerry.serve.fronts.answers import Plane, json_response, retry_after, status_of
from skerry.serve.fronts.tensors import (
    FLOAT,
    LENGTH_HEADER,
    Asked,
    InferInput,
    InferRequest,
    parse_infer,
    render_infer,
)
from skerry.serve.http.message import Request, Response
from skerry.serve.http.router import Route
from skerry.serve.loaded import LoadedModel
from skerry.serve.predictor import FloatArray
from skerry.serve.protocol import Json

FRONT = "open_inference"
VERSION = "1"
RESPONSES = {
    200: "The model's output",
    400: "Not a request of this protocol, or another shape than the model's",
    404: "No such model",
    413: "Too large, or more images than the queue holds",
    415: "A datatype other than FP32 and BYTES",
    503: "Too many images wait; try again after Retry-After seconds",
}


def open_inference_routes(plane: Plane) -> list[Route]:
    """Server and model metadata, health, and inference, with and without the version in the path."""
    front = _Front(plane)
    routes = [
        Route("GET", "/v2", front.server, failed, "Server metadata"),
        Route("GET", "/v2/health/live", front.healthy, failed, "Whether the server is alive"),
        Route("GET", "/v2/health/ready", front.healthy, failed, "Whether the server is ready"),
    ]
    known = {200: "Done", 404: "No such model"}
    for base in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes += [
            Route("GET", base, front.model, failed, "Model metadata", (), known),
            Route("GET", f"{base}/ready", front.model_ready, failed, "Whether the model is ready", (), known),
            Route(
                *("POST", f"{base}/infer", front.infer, failed, "Infer"),
                ("application/json", "application/octet-stream"),
                RESPONSES,
            ),
        ]
    return routes


def failed(error: SkerryError) -> Response:
    """An error as the protocol has it."""
    status = 404 if isinstance(error, NotFound) else status_of(error)
    return json_response({"error": str(error)}, status, retry_after(status))


class _Front:
    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._scorer = plane.scorer

    def server(self, _request: Request) -> Response:
        extensions = ["binary_tensor_data", "classification"]
        return json_response({"name": "skerry", "version": __version__, "extensions": extensions})

    def healthy(self, _request: Request) -> Response:
        return Response(200)

    def model(self, _request: Request, model: str, version: str = "") -> Response:
        self._check(model, version)
        package, recipe = self._scorer.package, self._scorer.package.recipe
        sides = [recipe.input.height, recipe.input.width, recipe.input.channels]
        return json_response(
            {
                "name": package.name,
                "versions": [VERSION],
                "platform": "onnx_onnxv1",
                "inputs": [{"name": recipe.input.name, "datatype": FLOAT, "shape": [-1, *sides]}],
                "outputs": [
                    {"name": recipe.output.name, "datatype": FLOAT, "shape": [-1, recipe.output.size]}
                ],
                "parameters": {"digest": package.digest, "recipe": recipe.digest},
            }
        )

    def model_ready(self, _request: Request, model: str, version: str = "") -> Response:
        self._check(model, version)
        return Response(200)

    async def infer(self, request: Request, model: str, version: str = "") -> Response:
        self._check(model, version)
        asked, given = parse_infer(request.body, request.headers.get(LENGTH_HEADER))
        # One model for the whole answer: another may be switched to while this one computes.
        used = self._scorer.model
        output = _output(used.recipe, asked)
        found = await self._infer(used, given)
        if not np.isfinite(found).all():
            raise InvalidInput("the model gives no number for this input", field="inputs[0].data")
        values = _classes(used.recipe, found, output.classes) if output.classes else found
        document = {"model_name": model, "model_version": VERSION, **({"id": asked.id} if asked.id else {})}
        body, length = render_infer(document, output.name, values, binary=output.binary)
        if length is None:
            return Response(200, body, "application/json")
        return Response(200, body, "application/octet-stream", ((LENGTH_HEADER, str(length)),))

    async def _infer(self, used: LoadedModel, given: InferInput) -> FloatArray:
        try:
            if given.floats is None:
                found = await self._scorer.outputs(given.files, used)
            else:
                found = await self._scorer.infer(_shaped(used.recipe, given.floats), used)
        except SkerryError as exc:
            self._plane.measures.refused(FRONT, exc)
            raise
        self._plane.measures.inferred(FRONT, len(found))
        return found

    def _check(self, model: str, version: str) -> None:
        known: Json = self._scorer.package.name
        if model != known or version not in ("", VERSION):
            raise NotFound(f"there is no model {model[:100]}", hint=f"there is {known}, version {VERSION}")


def _shaped(recipe: Recipe, floats: FloatArray) -> FloatArray:
    spec = recipe.input
    wanted = (spec.height, spec.width, spec.channels)
    if floats.ndim != 4 or floats.shape[1:] != wanted or not len(floats):
        raise InvalidInput(f"the model takes [N, {', '.join(map(str, wanted))}]", field="inputs[0].shape")
    return floats


def _output(recipe: Recipe, asked: InferRequest) -> Asked:
    name = recipe.output.name
    if not asked.outputs:
        return Asked(name, asked.binary, 0)
    if len(asked.outputs) > 1 or asked.outputs[0].name != name:
        raise InvalidInput(f"the model's one output is {name}", field="outputs")
    [output] = asked.outputs
    return Asked(name, output.binary or asked.binary, output.classes)


def _classes(recipe: Recipe, found: FloatArray, count: int) -> list[list[str]]:
    labels, texts = recipe.output.labels, list[list[str]]()
    for row in found:
        values = scores(row, recipe)
        places = np.argsort(-values, kind="stable")[:count]
        ranked = zip(places.tolist(), values[places].tolist(), strict=True)
        texts.append([f"{score:.6f}:{place}:{labels[place].name}" for place, score in ranked])
    return texts
